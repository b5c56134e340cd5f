//! Counters: one list for the events, their names and their order.

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// How much there is now, and how often each thing happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            /// Connections now.
            pub connections: u64,
            /// Rooms now.
            pub rooms: u64,
            /// Members now, those away included.
            pub members: u64,
            /// Bytes now that wait for members, or were not acknowledged yet.
            pub queued: u64,
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Counters {
            /// How often each thing happened, by its name.
            pub const fn events(&self) -> [(&'static str, u64); [$($name),*].len()] {
                [$(($name, self.$field)),*]
            }
        }
    };
}

counters! {
    /// Members that joined.
    joined = "joined",
    /// Members that took up their place again.
    resumed = "resumed",
    /// Members that left by a word of their own.
    left = "left",
    /// Members that did not come back in time.
    gone = "gone",
    /// Members whose connection the server ended.
    ended = "ended",
    /// Messages taken from members.
    messages = "messages",
    /// Messages after which a client was made to wait.
    paced = "paced",
    /// Messages that a member was not sent, because it took none of the earlier ones.
    not_delivered = "not-delivered",
    /// Connections refused because there are too many.
    connections_refused = "connections-refused",
    /// Connections refused for the page that they come from.
    origins_refused = "origins-refused",
    /// Clients refused because they have no right to enter.
    forbidden = "forbidden",
    /// Clients refused for what they sent or did not send.
    refused = "refused",
    /// Clients refused because there are too many rooms or members.
    full = "full",
    /// Clients refused because their network fails or comes too often.
    too_often = "too-often",
}
