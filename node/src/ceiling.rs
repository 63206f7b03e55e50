//! How much the ledger may hold under one limit: arithmetic alone.
//!
//! ```text
//! limit ────────────────────────────────────────────────────────────────┐
//! │ others: held - ours │ declared, not yet used │ CEILING       │ margin │
//! ```

/// A limit over us and what it counts that no pressure gives back, ours included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) limit: u64,
    pub(crate) held: u64,
}

/// What is ours, and what is promised to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Of what is held: the ledger's own.
    pub(crate) ours: u64,
    /// What the declared use is compared with: held in our own group, less ours.
    pub(crate) beside_us: u64,
    pub(crate) declared: u64,
    pub(crate) margin: u64,
}

impl Claims {
    /// What was declared and nobody uses yet: room to be left for it.
    pub(crate) const fn untouched(&self) -> u64 {
        self.declared.saturating_sub(self.beside_us)
    }
}

impl Room {
    /// What others hold now.
    pub(crate) const fn others(&self, claims: &Claims) -> u64 {
        self.held.saturating_sub(claims.ours)
    }

    /// The most the ledger may hold: limit - others - what is declared and not yet used - margin.
    ///
    /// In our own group others and untouched are together max(declared, others). In a group above,
    /// and on the node, what our neighbours hold does not count as use of what we declared.
    pub(crate) const fn ceiling(&self, claims: &Claims) -> u64 {
        self.limit
            .saturating_sub(self.others(claims))
            .saturating_sub(claims.untouched())
            .saturating_sub(claims.margin)
    }

    /// What is left beside all that is held: page cache and free memory.
    pub(crate) const fn slack(&self) -> u64 {
        self.limit.saturating_sub(self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the same sum in wide integers; never above limit - others - margin.
        #[test]
        fn is_limit_less_others_declared_and_margin(
            limit in 0..1u64 << 40, held in 0..1u64 << 40, ours in 0..1u64 << 40,
            declared in 0..1u64 << 40, margin in 0..1u64 << 30,
        ) {
            let beside_us = held.saturating_sub(ours);
            let claims = Claims { ours, beside_us, declared, margin };
            let others = (i128::from(held) - i128::from(ours)).max(0);
            let naive = i128::from(limit) - others.max(i128::from(declared)) - i128::from(margin);
            let found = Room { limit, held }.ceiling(&claims);
            prop_assert_eq!(i128::from(found), naive.max(0));
        }

        #[test]
        fn is_monotone_in_every_figure(
            room in any::<[u64; 2]>(), claims in any::<[u64; 4]>(), more in any::<u64>(),
        ) {
            let ceiling = |[limit, held]: [u64; 2], [ours, beside_us, declared, margin]: [u64; 4]| {
                Room { limit, held }.ceiling(&Claims { ours, beside_us, declared, margin })
            };
            let base = ceiling(room, claims);
            let raised = |index: usize| {
                let mut claims = claims;
                claims[index] = claims[index].saturating_add(more);
                claims
            };
            let [limit, held] = room;
            prop_assert!(ceiling([limit.saturating_add(more), held], claims) >= base);
            prop_assert!(ceiling([limit, held.saturating_add(more)], claims) <= base);
            prop_assert!(ceiling(room, raised(0)) >= base);
            prop_assert!(ceiling(room, raised(2)) <= base);
            prop_assert!(ceiling(room, raised(3)) <= base);
        }
    }
}
