//! Answers of a key store: each for a time, and not too many of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::UserName;

/// Values by user, each until its time is over.
#[derive(Debug)]
pub(super) struct Shelf<V> {
    values: BTreeMap<UserName, (V, Instant)>,
    ends: BTreeSet<(Instant, UserName)>,
    /// The most values.
    most: usize,
}

impl<V> Shelf<V> {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            values: BTreeMap::new(),
            ends: BTreeSet::new(),
            most,
        }
    }

    /// The value of a user, if it still holds.
    pub(super) fn get(&self, now: Instant, name: &UserName) -> Option<&V> {
        let (value, end) = self.values.get(name)?;
        (*end > now).then_some(value)
    }

    /// Keeps a value for so long. If there are too many, those go whose time is over first.
    pub(super) fn put(&mut self, now: Instant, name: UserName, value: V, lifetime: Duration) {
        self.remove(&name);
        let is_over = |shelf: &Self| {
            let first = shelf.ends.first();
            first.is_some_and(|(end, _)| *end <= now) || shelf.values.len() >= shelf.most
        };
        while is_over(self)
            && let Some((_, name)) = self.ends.pop_first()
        {
            self.values.remove(&name);
        }
        let end = now + lifetime;
        self.ends.insert((end, name.clone()));
        self.values.insert(name, (value, end));
    }

    pub(super) fn remove(&mut self, name: &UserName) {
        if let Some((_, end)) = self.values.remove(name) {
            self.ends.remove(&(end, name.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> UserName {
        UserName {
            realm: "example.org".into(),
            user: number.to_string().into(),
        }
    }

    #[test]
    fn a_full_shelf_gives_up_what_would_end_first_and_keeps_no_more_than_its_bound() {
        let (now, mut shelf) = (sim::Clock::new().now().mono, Shelf::new(3));
        for number in 0..3 {
            shelf.put(now, name(number), number, Duration::from_secs(9));
        }
        shelf.put(now, name(1), 10, Duration::from_secs(1));
        shelf.put(now, name(3), 3, Duration::from_secs(9));
        let found = (0..4).map(|number| shelf.get(now, &name(number)).copied());
        assert_eq!(found.collect::<Vec<_>>(), [Some(0), None, Some(2), Some(3)]);
        let end = now + Duration::from_secs(9);
        assert_eq!(shelf.get(end, &name(3)), None);
        shelf.put(end, name(4), 4, Duration::from_secs(9));
        assert_eq!((shelf.values.len(), shelf.ends.len()), (1, 1));
    }
}
