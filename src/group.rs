//! Why a batch failed.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Mutex;

use crate::error::Error;
use crate::sync::lock;

/// Why a batch failed: its errors by the index of their item, and what became of the rest.
///
/// Every item is one of these: among the [`errors`](ErrorGroup::errors), or
/// counted as [`finished`](ErrorGroup::finished),
/// [`cancelled`](ErrorGroup::cancelled) or
/// [`not_started`](ErrorGroup::not_started). There is no error where the batch
/// was only stopped from outside.
///
/// `Display` is one line and up to five errors; [`source`](StdError::source) is the first.
pub struct ErrorGroup {
    pub(crate) errors: Vec<(usize, Error)>,
    pub(crate) finished: usize,
    pub(crate) cancelled: usize,
    pub(crate) not_started: Option<usize>,
    pub(crate) results: Mutex<Vec<(usize, Box<dyn Any + Send>)>>,
}

impl ErrorGroup {
    /// The errors with the index of their item, by index.
    pub fn errors(&self) -> &[(usize, Error)] {
        &self.errors
    }

    /// The errors, to keep.
    pub fn into_errors(self) -> Vec<(usize, Error)> {
        self.errors
    }

    /// The part whose errors match, and the rest, as Python's `except*` does.
    /// The counts and the results go with the rest, or with the match if every
    /// error matches.
    pub fn split(
        self,
        matches: impl Fn(&Error) -> bool,
    ) -> (Option<ErrorGroup>, Option<ErrorGroup>) {
        let (hit, rest): (Vec<_>, Vec<_>) =
            self.errors.into_iter().partition(|(_, error)| matches(error));
        let whole = |errors| ErrorGroup { errors, ..self };
        if hit.is_empty() {
            return (None, Some(whole(rest)));
        }
        if rest.is_empty() {
            return (Some(whole(hit)), None);
        }
        let part = ErrorGroup {
            errors: hit,
            finished: 0,
            cancelled: 0,
            not_started: Some(0),
            results: Mutex::default(),
        };
        (Some(part), Some(whole(rest)))
    }

    /// How many calls ended well.
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// How many calls were begun and stopped, on their way or still waiting for a thread.
    pub fn cancelled(&self) -> usize {
        self.cancelled
    }

    /// How many items were never taken, where the iterator could tell exactly.
    pub fn not_started(&self) -> Option<usize> {
        self.not_started
    }

    /// Takes the outputs of the calls that ended well, with the index of their
    /// item, by index. Those of another type than `T` stay.
    pub fn take_results<T: 'static>(&self) -> Vec<(usize, T)> {
        let mut taken = Vec::new();
        let mut results = lock(&self.results);
        for (index, output) in std::mem::take(&mut *results) {
            match output.downcast::<T>() {
                Ok(output) => taken.push((index, *output)),
                Err(other) => results.push((index, other)),
            }
        }
        taken
    }
}

const SHOWN: usize = 5;

impl fmt::Display for ErrorGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() {
            0 => write!(f, "stopped")?,
            1 => write!(f, "1 call failed")?,
            failed => write!(f, "{failed} calls failed")?,
        }
        write!(f, ", {} finished, {} cancelled", self.finished, self.cancelled)?;
        match self.not_started {
            Some(count) => write!(f, ", {count} not started")?,
            None => write!(f, ", an unknown number not started")?,
        }
        for (index, error) in self.errors.iter().take(SHOWN) {
            write!(f, "\n  [{index}] {error}")?;
        }
        if self.errors.len() > SHOWN {
            write!(f, "\n  … and {} more", self.errors.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ErrorGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorGroup")
            .field("errors", &self.errors)
            .field("finished", &self.finished)
            .field("cancelled", &self.cancelled)
            .field("not_started", &self.not_started)
            .finish()
    }
}

impl StdError for ErrorGroup {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.errors.first().map(|(_, error)| error as _)
    }
}

const _: () = {
    const fn assert<T: Send + Sync + StdError>() {}
    assert::<ErrorGroup>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn group(kinds: &[ErrorKind]) -> ErrorGroup {
        let errors = kinds.iter().enumerate().map(|(n, kind)| (n, Error::custom(*kind, "no")));
        let result: Box<dyn Any + Send> = Box::new("done");
        ErrorGroup {
            errors: errors.collect(),
            finished: 1,
            cancelled: 2,
            not_started: Some(3),
            results: Mutex::new(vec![(90, result)]),
        }
    }

    use ErrorKind::{Closed, Decode};

    #[test]
    fn five_are_shown_and_the_rest_counted() {
        let text = group(&[Closed; 5]).to_string();
        assert!(text.starts_with("5 calls failed, 1 finished, 2 cancelled, 3 not started\n"));
        assert_eq!((text.lines().count(), text.contains("more")), (6, false), "{text}");
        let text = group(&[Closed; 7]).to_string();
        assert!(text.ends_with("\n  [4] no response: no\n  … and 2 more"), "{text}");
        assert!(group(&[Decode]).to_string().starts_with("1 call failed, "));
        let stopped = group(&[]);
        assert_eq!(stopped.to_string(), "stopped, 1 finished, 2 cancelled, 3 not started");
        assert!(stopped.source().is_none());
    }

    #[test]
    fn a_split_keeps_the_counts_in_one_part() {
        let is_closed = |error: &Error| error.kind() == Closed;
        let (hit, rest) = group(&[Closed, Decode, Closed]).split(is_closed);
        let (hit, rest) = (hit.unwrap(), rest.unwrap());
        let indices = |group: &ErrorGroup| group.errors.iter().map(|e| e.0).collect::<Vec<_>>();
        assert_eq!((indices(&hit), indices(&rest)), (vec![0, 2], vec![1]));
        assert_eq!((hit.finished(), hit.cancelled(), hit.not_started()), (0, 0, Some(0)));
        assert_eq!((rest.finished(), rest.cancelled(), rest.not_started()), (1, 2, Some(3)));
        assert_eq!(rest.source().unwrap().to_string(), "body not readable: no");
        let (hit, rest) = group(&[Closed]).split(is_closed);
        assert!(rest.is_none() && hit.unwrap().finished() == 1);
        for none in [group(&[Decode]), group(&[])] {
            let (hit, rest) = none.split(is_closed);
            assert!(hit.is_none() && rest.unwrap().finished() == 1);
        }
    }

    #[test]
    fn results_of_another_type_stay_and_the_count_does_not_change() {
        let group = group(&[Closed]);
        assert!(group.take_results::<String>().is_empty());
        assert_eq!(group.take_results::<&str>(), [(90, "done")]);
        assert!(group.take_results::<&str>().is_empty());
        assert_eq!(group.finished(), 1);
    }
}
