//! The remarks of a review, by place: a file may have thousands of lines with a remark each, and the review asks at each
//! line whether a fault was told of it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::config::remark::Remark;

/// The remarks so far, by where the text begins that each is about.
#[derive(Default)]
pub(super) struct Found(BTreeMap<usize, Vec<Remark>>);

impl Found {
    pub(super) fn push(&mut self, remark: Remark) {
        self.0.entry(remark.at.start).or_default().push(remark);
    }

    /// Those about texts that begin in a place.
    pub(super) fn within(&self, place: &Range<usize>) -> impl Iterator<Item = &Remark> {
        self.0.range(place.clone()).flat_map(|(_, remarks)| remarks)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Remark> {
        self.0.values().flatten()
    }

    /// Leaves out the cautions about one text.
    pub(super) fn forget_cautions(&mut self, at: &Range<usize>) {
        if let Some(remarks) = self.0.get_mut(&at.start) {
            remarks.retain(|remark| remark.is_fault || remark.at != *at);
        }
    }

    /// All of them, as they stand in the file.
    pub(super) fn in_order(self) -> Vec<Remark> {
        self.0.into_values().flatten().collect()
    }
}

impl Extend<Remark> for Found {
    fn extend<T: IntoIterator<Item = Remark>>(&mut self, remarks: T) {
        remarks.into_iter().for_each(|remark| self.push(remark));
    }
}

impl FromIterator<Remark> for Found {
    fn from_iter<T: IntoIterator<Item = Remark>>(remarks: T) -> Self {
        let mut found = Self::default();
        found.extend(remarks);
        found
    }
}
