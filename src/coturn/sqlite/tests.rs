//! A database of SQLite 3.40 with pages of 512 bytes: a table of several pages, a row on several.

use super::*;

const TURNDB: &[u8] = include_bytes!("../../../tests/coturn/turndb");

fn read(bytes: &[u8]) -> Result<Vec<Row>, Unreadable> {
    Pages::new(bytes)?.table("turnusers_lt", &["hmackey", "name", "nothing"])
}

#[test]
fn the_rows_of_a_table_come_in_their_order_with_the_columns_asked_for() {
    let rows = read(TURNDB).unwrap();
    assert_eq!(rows.len(), 41);
    for (number, row) in rows[..40].iter().enumerate() {
        assert_eq!(row[1], Some(format!("user-{number}")));
        assert_eq!(row[0].as_ref().map(String::len), Some(32));
        assert_eq!(row[2], None);
    }
    // The name stands on a page of its own.
    assert_eq!(rows[40][1], Some("n".repeat(500)));
}

#[test]
fn numbers_are_digits_and_a_table_that_is_not_there_is_empty() {
    let pages = Pages::new(TURNDB).unwrap();
    let keys = pages
        .table("oauth_key", &["timestamp", "lifetime"])
        .unwrap();
    let digits = ["1764000000", "86400"].map(|it| Some(it.to_owned()));
    assert_eq!(keys, [digits.to_vec()]);
    assert_eq!(pages.table("denied_peer_ip", &["ip_range"]), Ok(Vec::new()));
}

#[test]
fn what_is_no_database_is_called_so() {
    for bytes in [&b""[..], b"realm=example.org\n", b"SQLite format 3\0"] {
        assert_eq!(read(bytes), Err(NoDatabase));
    }
}

#[test]
fn no_damage_to_a_database_does_more_than_make_it_unreadable() {
    for end in (0..TURNDB.len()).step_by(97) {
        let _ = read(&TURNDB[..end]);
    }
    let mut bytes = TURNDB.to_vec();
    for at in (16..bytes.len()).step_by(11) {
        let whole = bytes[at];
        for other in [0, 1, 0x7F, 0xFF] {
            bytes[at] = other;
            let _ = read(&bytes);
        }
        bytes[at] = whole;
    }
    assert_eq!(read(&bytes), read(TURNDB));
}

#[test]
fn a_page_that_leads_back_to_itself_ends_the_reading() {
    let mut bytes = TURNDB.to_vec();
    // The schema is an inner page in place of a leaf, and its last child is itself.
    bytes[100] = 0x05;
    bytes[108..112].copy_from_slice(&1_u32.to_be_bytes());
    assert_eq!(read(&bytes), Err(Damaged));
}

#[test]
fn rows_that_have_their_bytes_in_common_end_the_reading() {
    let rows = read(TURNDB).unwrap().len();
    let pages = Pages::new(TURNDB).unwrap();
    let of_tables = TURNDB.len() - pages.unread.get();
    assert!(0 < of_tables && of_tables < TURNDB.len());
    let mut last = Ok(Vec::new());
    for _ in 0..TURNDB.len() / rows {
        last = pages.table("turnusers_lt", &["name"]);
    }
    assert_eq!(last, Err(Damaged));
}

#[test]
fn the_columns_of_a_table_are_read_from_its_statement() {
    let sql = "CREATE TABLE t (realm varchar(127) default '',\n\t\"name\" text, primary key (realm,name))";
    assert_eq!(column_names(sql), ["realm", "name", "primary"]);
    assert_eq!(column_names("no table"), [""]);
}
