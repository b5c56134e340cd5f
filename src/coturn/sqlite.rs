//! Reads tables out of an SQLite database, which it takes whole as bytes.
//!
//! coturn keeps users in such a file. A reader of the [format] for tables alone is smaller than a
//! build of SQLite (a minute of C, a megabyte of binary), and needs no program on the host. It reads
//! what is on disk: a file with changes in a log beside it is for the caller to refuse. Nothing in the
//! file is believed: every offset is checked, no page of a table is read twice, and all that is read is
//! no longer than the file, in which each byte belongs to one row alone.
//!
//! [format]: https://www.sqlite.org/fileformat2.html

use std::cell::Cell;
use std::collections::BTreeSet;

/// A database.
pub(super) struct Pages<'b> {
    bytes: &'b [u8],
    /// The bytes of a page.
    size: usize,
    /// Those that are used.
    usable: usize,
    encoding: Encoding,
    /// The rows of the table of tables.
    schema: Vec<Row>,
    /// How many bytes are still to be read: rows of a damaged file may have theirs in common.
    unread: Cell<usize>,
}

/// The encoding of its texts.
#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// As many as are read of a row; coturn's tables have at most six.
const COLUMNS: usize = 16;

/// A row: a text for each column, numbers in decimal digits, nothing for NULL.
pub(super) type Row = Vec<Option<String>>;

/// Why there is nothing to read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is no SQLite database")]
    NoDatabase,
    #[error("the SQLite database is damaged")]
    Damaged,
}

use Unreadable::{Damaged, NoDatabase};

impl<'b> Pages<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Result<Self, Unreadable> {
        if !bytes.starts_with(b"SQLite format 3\0") || bytes.len() < 100 {
            return Err(NoDatabase);
        }
        let size = match number(&bytes[16..18]) {
            1 => 65536,
            size => size as usize,
        };
        let usable = size.saturating_sub(usize::from(bytes[20]));
        if !size.is_power_of_two() || usable < 480 {
            return Err(Damaged);
        }
        let encoding = match number(&bytes[56..60]) {
            2 => Encoding::Utf16Le,
            3 => Encoding::Utf16Be,
            _ => Encoding::Utf8,
        };
        let mut pages = Self {
            bytes,
            size,
            usable,
            encoding,
            schema: Vec::new(),
            unread: Cell::new(bytes.len()),
        };
        pages.schema = pages.rows(1)?;
        Ok(pages)
    }

    /// The rows of a table, with these of its columns. A table or a column that is not there is empty.
    pub(super) fn table(&self, name: &str, columns: &[&str]) -> Result<Vec<Row>, Unreadable> {
        let text =
            |row: &Row, column: usize| row.get(column).cloned().flatten().unwrap_or_default();
        let is_it = |row: &&Row| text(row, 0) == "table" && text(row, 1).eq_ignore_ascii_case(name);
        let Some(table) = self.schema.iter().find(is_it) else {
            return Ok(Vec::new());
        };
        let names = column_names(&text(table, 4));
        let place = |column: &&str| names.iter().position(|it| it.eq_ignore_ascii_case(column));
        let places: Vec<_> = columns.iter().map(place).collect();
        let root = text(table, 3).parse().map_err(|_| Damaged)?;
        let rows = self.rows(root)?.into_iter().map(|row| {
            let value = |place: &Option<usize>| row.get((*place)?).cloned().flatten();
            places.iter().map(value).collect()
        });
        Ok(rows.collect())
    }

    /// The rows below a page, in the order of their ids.
    fn rows(&self, root: u32) -> Result<Vec<Row>, Unreadable> {
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        let mut next = vec![root];
        while let Some(number) = next.pop() {
            if !seen.insert(number) {
                return Err(Damaged);
            }
            let page = self.page(number)?;
            let header = page
                .get(if number == 1 { 100 } else { 0 }..)
                .ok_or(Damaged)?;
            let is_leaf = match header.first() {
                Some(0x0D) => true,
                Some(0x05) => false,
                _ => return Err(Damaged),
            };
            let cells = self.cells(page, header, is_leaf)?;
            if is_leaf {
                for cell in cells {
                    rows.push(self.row(cell)?);
                }
                continue;
            }
            // The last one comes first off the stack, so that rows keep their order.
            next.push(u32_at(header, 8)?);
            for cell in cells.into_iter().rev() {
                next.push(u32_at(cell, 0)?);
            }
        }
        Ok(rows)
    }

    fn page(&self, number: u32) -> Result<&'b [u8], Unreadable> {
        let start = (number as usize)
            .checked_sub(1)
            .and_then(|it| it.checked_mul(self.size));
        let start = start.ok_or(Damaged)?;
        let end = start.checked_add(self.size).ok_or(Damaged)?;
        self.bytes.get(start..end).ok_or(Damaged)
    }

    fn cells(
        &self,
        page: &'b [u8],
        header: &[u8],
        is_leaf: bool,
    ) -> Result<Vec<&'b [u8]>, Unreadable> {
        let count = number(header.get(3..5).ok_or(Damaged)?) as usize;
        let first = if is_leaf { 8 } else { 12 };
        let pointers = header.get(first..first + 2 * count).ok_or(Damaged)?;
        let used = page.get(..self.usable).ok_or(Damaged)?;
        let cell = |at: &[u8]| used.get(number(at) as usize..).ok_or(Damaged);
        pointers.chunks_exact(2).map(cell).collect()
    }

    /// The values of a cell of a leaf.
    fn row(&self, mut cell: &[u8]) -> Result<Row, Unreadable> {
        let length = usize::try_from(varint(&mut cell)?).map_err(|_| Damaged)?;
        varint(&mut cell)?;
        // The least that a row takes beside its payload: two numbers, and a pointer of two bytes.
        let taken = length.checked_add(4).ok_or(Damaged)?;
        let unread = self.unread.get().checked_sub(taken).ok_or(Damaged)?;
        self.unread.set(unread);
        let local = self.local(length);
        let mut payload = cell.get(..local).ok_or(Damaged)?.to_vec();
        let mut next = if local < length {
            u32_at(cell, local)?
        } else {
            0
        };
        while payload.len() < length {
            let page = self.page(next)?;
            next = u32_at(page, 0)?;
            let part = (length - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(page.get(4..4 + part).ok_or(Damaged)?);
        }
        self.values(&payload)
    }

    /// How many bytes of a payload stand in its cell; the others stand on pages of their own.
    fn local(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let local = least + (length - least) % (self.usable - 4);
        if local <= most { local } else { least }
    }

    fn values(&self, payload: &[u8]) -> Result<Row, Unreadable> {
        let mut types = payload;
        let length = usize::try_from(varint(&mut types)?).map_err(|_| Damaged)?;
        let mut data = payload.get(length..).ok_or(Damaged)?;
        let mut left = length
            .checked_sub(payload.len() - types.len())
            .ok_or(Damaged)?;
        let mut row = Row::new();
        while left > 0 {
            let before = types.len();
            let kind = varint(&mut types)?;
            left = left.checked_sub(before - types.len()).ok_or(Damaged)?;
            // Each takes more room here than in the file, where NULL has one byte.
            if row.len() == COLUMNS {
                break;
            }
            row.push(self.value(kind, &mut data)?);
        }
        Ok(row)
    }

    fn value(&self, kind: u64, data: &mut &[u8]) -> Result<Option<String>, Unreadable> {
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return Err(Damaged),
            _ => usize::try_from((kind - 12) / 2).map_err(|_| Damaged)?,
        };
        let bytes = data.split_off(..length).ok_or(Damaged)?;
        Ok(match kind {
            0 | 7 => None,
            1..=6 => Some(signed(bytes).to_string()),
            8 | 9 => Some((kind - 8).to_string()),
            _ => Some(self.text(bytes)),
        })
    }

    fn text(&self, bytes: &[u8]) -> String {
        let units = |read: fn([u8; 2]) -> u16| {
            let pairs = bytes.chunks_exact(2);
            let units: Vec<u16> = pairs.map(|pair| read([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        };
        match self.encoding {
            Encoding::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Encoding::Utf16Le => units(u16::from_le_bytes),
            Encoding::Utf16Be => units(u16::from_be_bytes),
        }
    }
}

/// The names of the columns in `CREATE TABLE name (column …, …)`.
fn column_names(sql: &str) -> Vec<String> {
    let inner = sql.split_once('(').map_or("", |(_, inner)| inner);
    let (mut depth, mut items) = (0_i32, vec![String::new()]);
    for letter in inner.chars() {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        match items.last_mut() {
            _ if depth < 0 => break,
            _ if letter == ',' && depth == 0 => items.push(String::new()),
            Some(item) => item.push(letter),
            None => {}
        }
    }
    let name = |item: String| {
        let word = item.split_whitespace().next().unwrap_or_default();
        word.trim_matches(['"', '`', '[', ']', '\'']).to_owned()
    };
    items.into_iter().map(name).collect()
}

/// A number of one to nine bytes, of which each but the ninth has seven bits.
fn varint(bytes: &mut &[u8]) -> Result<u64, Unreadable> {
    let mut value = 0;
    for index in 0..9 {
        let byte = *bytes.split_off_first().ok_or(Damaged)?;
        if index == 8 {
            return Ok(value << 8 | u64::from(byte));
        }
        value = value << 7 | u64::from(byte & 0x7F);
        if byte < 0x80 {
            break;
        }
    }
    Ok(value)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Unreadable> {
    let bytes = bytes.get(at..at + 4).ok_or(Damaged)?;
    Ok(number(bytes))
}

/// At most four bytes, the highest first.
fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// At most eight bytes in two's complement.
fn signed(bytes: &[u8]) -> i64 {
    let start = if bytes.first().is_some_and(|byte| *byte >= 0x80) {
        -1
    } else {
        0
    };
    bytes
        .iter()
        .fold(start, |value, byte| value << 8 | i64::from(*byte))
}

#[cfg(test)]
mod tests;
