//! A host that lends memory as it pleases, and checks its books against the ledger's at every call.
//!
//! What it has lent is never below what the ledger has granted; nothing comes back that was not lent.
//! What is wrong is written down, not panicked over: many calls come from destructors.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bywash::{Error, MemoryLedger, MemoryParent, Result};

use crate::seed::Rng;

/// What a host answers to one request.
#[derive(Debug, Clone)]
pub enum Loan {
    /// All of it.
    All,
    /// At most so many bytes.
    UpTo(u64),
    /// Nothing.
    Nothing,
    /// An error.
    Fail(Error),
}

/// What a host does when it is asked.
type Mood = Box<dyn Fn(u64, &mut Rng) -> Loan + Send + Sync>;

/// A host. Its mood sees what is asked for and a stream of random numbers, and may take its time.
pub struct Lender {
    mood: Mood,
    /// Of 100 calls so many take something back, on the same thread, before they answer.
    reclaim_percent: u64,
    books: Mutex<Books>,
    /// What it lends to, until [`Lender::settle`].
    ledger: Mutex<Option<MemoryLedger>>,
}

/// A host's figures, in bytes unless said.
#[derive(Debug, Clone)]
pub struct Books {
    /// Lent and not given back.
    pub lent: u64,
    /// The most that was ever lent.
    pub lent_max: u64,
    /// Handed over in buffers, in all.
    pub handed_over: u64,
    /// Calls that asked for memory.
    pub asked: u64,
    /// Calls that gave some back.
    pub released: u64,
    /// Calls answered with less than was asked for, with nothing, or with an error.
    pub stinted: u64,
    /// Given back when it reclaimed.
    pub reclaimed: u64,
    /// What was wrong.
    pub wrong: Vec<String>,
    rng: Rng,
}

impl Lender {
    /// A host in `mood`; `reclaim_percent` of its calls take something back at once.
    pub fn new(
        seed: u64,
        reclaim_percent: u64,
        mood: impl Fn(u64, &mut Rng) -> Loan + Send + Sync + 'static,
    ) -> Arc<Self> {
        let books = Books {
            lent: 0,
            lent_max: 0,
            handed_over: 0,
            asked: 0,
            released: 0,
            stinted: 0,
            reclaimed: 0,
            wrong: Vec::new(),
            rng: Rng::new(seed),
        };
        Arc::new(Self {
            mood: Box::new(mood),
            reclaim_percent,
            books: Mutex::new(books),
            ledger: Mutex::new(None),
        })
    }

    /// One that lends whatever is asked for.
    pub fn generous() -> Arc<Self> {
        Self::new(0, 0, |_, _| Loan::All)
    }

    /// Looks at the granted bytes of `ledger` at every call from now on, and reclaims from it.
    pub fn watch(&self, ledger: &MemoryLedger) {
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger.clone());
    }

    /// Lets the ledger go: a host that keeps it would keep it for ever.
    pub fn settle(&self) {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(ledger);
    }

    /// The figures now.
    pub fn books(&self) -> Books {
        self.open_books().clone()
    }

    /// Bytes lent and not given back.
    pub fn lent(&self) -> u64 {
        self.open_books().lent
    }

    /// Whether all came back and nothing was ever wrong.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_settled(&self) -> Result<(), String> {
        let books = self.open_books();
        match books.wrong.first() {
            Some(first) => Err(format!("{} things were wrong; {first}", books.wrong.len())),
            None if books.lent != 0 => Err(format!("{} bytes were never given back", books.lent)),
            None => Ok(()),
        }
    }

    fn open_books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched(&self) -> Option<MemoryLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the books, in which no more may be granted than is lent, before and after.
    fn change<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        let ledger = self.watched();
        let mut books = self.open_books();
        // While the books are open nothing is lent or given back, so it holds at every instant.
        let check = |books: &mut Books, when: &str| {
            if let Some(granted) = ledger.as_ref().map(MemoryLedger::granted)
                && granted > books.lent
            {
                books.wrong.push(format!("{granted} granted {when}, {} lent", books.lent));
            }
        };
        check(&mut books, "before a call");
        let outcome = change(&mut books);
        check(&mut books, "after a call");
        drop(books);
        outcome
    }

    fn reclaim_sometimes(&self) {
        let wanted = self.change(|books| {
            let bytes = match books.rng.below(4) {
                0 => u64::MAX,
                1 => 1,
                _ => books.rng.below(4 << 20),
            };
            books.rng.chance(self.reclaim_percent).then_some(bytes)
        });
        if let (Some(bytes), Some(ledger)) = (wanted, self.watched()) {
            let freed = ledger.reclaim(bytes);
            self.change(|books| {
                books.reclaimed += freed;
                if freed > bytes {
                    books.wrong.push(format!("{freed} freed, {bytes} asked for"));
                }
            });
        }
    }
}

impl MemoryParent for Lender {
    fn acquire(&self, bytes: u64) -> Result<u64> {
        self.reclaim_sometimes();
        let mut rng = Rng::new(self.change(|books| books.rng.bits()));
        // With the books closed: it may wait for somebody who calls.
        let answer = match (self.mood)(bytes, &mut rng) {
            Loan::All => Ok(bytes),
            Loan::UpTo(most) => Ok(most.min(bytes)),
            Loan::Nothing => Ok(0),
            Loan::Fail(error) => Err(error),
        };
        self.change(|books| {
            let lent = *answer.as_ref().unwrap_or(&0);
            books.asked += 1;
            books.lent += lent;
            books.lent_max = books.lent_max.max(books.lent);
            books.stinted += u64::from(lent < bytes);
        });
        answer
    }

    fn release(&self, bytes: u64) {
        self.change(|books| {
            books.released += 1;
            if bytes > books.lent {
                books.wrong.push(format!("{bytes} given back of {} lent", books.lent));
            }
            books.lent = books.lent.saturating_sub(bytes);
        });
        self.reclaim_sometimes();
    }

    fn hand_over(&self, bytes: u64) {
        self.change(|books| books.handed_over += bytes);
    }
}

impl std::fmt::Debug for Lender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lender").field("books", &self.books()).finish_non_exhaustive()
    }
}
