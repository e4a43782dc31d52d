//! What one knows after calls whose outcome one does not always learn.

/// Everything that something may be.
#[derive(Clone, Debug)]
pub struct Known<T>(Vec<T>);

impl<T: PartialEq> Known<T> {
    pub fn new(value: T) -> Self {
        Self(vec![value])
    }

    /// After a call that makes it `value`.
    pub fn asked(&mut self, value: T, is_acknowledged: bool) {
        if is_acknowledged {
            self.0.clear();
        }
        if !self.0.contains(&value) {
            self.0.push(value);
        }
    }

    pub fn allows(&self, value: &T) -> bool {
        self.0.contains(value)
    }

    /// Whether it is `value` and can be nothing else.
    pub fn is(&self, value: &T) -> bool {
        matches!(self.0.as_slice(), [only] if only == value)
    }
}

#[cfg(test)]
mod tests {
    use super::Known;

    #[test]
    fn a_call_without_an_answer_may_have_done_it_or_not() {
        let mut known = Known::new(true);
        known.asked(false, false);
        assert!(known.allows(&true) && known.allows(&false) && !known.is(&false));
        known.asked(false, true);
        assert!(known.is(&false) && !known.allows(&true));
    }
}
