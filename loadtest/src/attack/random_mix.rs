//! Draws a mix of messages from a seed.

use fastrand::Rng;

use crate::attack_mix::{AttackMix, BaseChoice, MAX_SESSIONS, MessageKind, MessageShape, ValueShape};

/// The most kinds of messages in a mix. With more, all mixes would look alike.
const MAX_SHAPES: u32 = 4;

/// The most bytes of a message's keys and values: below the protocol's bound for a message, with room for its names, and for JSON.
const MESSAGE_BYTES: u32 = 1_000_000;

/// The most changes of a patch, and the longest key, as the protocol has them.
const MAX_CHANGES: u32 = 1024;
const MAX_KEY_BYTES: u32 = 1024;

/// The longest token, as the protocol has it.
const MAX_TOKEN_BYTES: u32 = 16 * 1024;

/// The mix of a seed: always the same.
pub fn random_mix(seed: u32) -> AttackMix {
    let mut rng = Rng::with_seed(u64::from(seed));
    let shapes = rng.u32(1..=MAX_SHAPES);
    let messages = (0..shapes).map(|_| random_shape(&mut rng)).collect();
    AttackMix {
        name: format!("mix_{seed}"),
        seed,
        sessions: spread(&mut rng, MAX_SESSIONS),
        window: spread(&mut rng, 32),
        json: rng.bool(),
        // Most mixes read: a session that does not is soon held back.
        not_reading_percent: if rng.u32(..4) == 0 { rng.u32(1..=100) } else { 0 },
        messages,
    }
}

fn random_shape(rng: &mut Rng) -> MessageShape {
    let pick = rng.usize(..MessageKind::ALL.len());
    let kind = MessageKind::ALL[pick];
    let changes = spread(rng, MAX_CHANGES);
    let key_bytes = spread(rng, MAX_KEY_BYTES).min((MESSAGE_BYTES / 2 / changes).max(4)).max(4);
    let most = match kind {
        MessageKind::Renew | MessageKind::Hello => MAX_TOKEN_BYTES,
        _ => (MESSAGE_BYTES / changes).saturating_sub(key_bytes).max(1),
    };
    let pick = rng.usize(..ValueShape::ALL.len());
    let base = rng.usize(..BaseChoice::ALL.len());
    MessageShape {
        kind,
        weight: rng.u32(1..=8),
        changes,
        key_bytes,
        keys: spread(rng, 10_000),
        value: ValueShape::ALL[pick],
        value_bytes: spread(rng, most),
        base: BaseChoice::ALL[base],
        datasets: spread(rng, 200),
        stock: rng.u32(..3) == 0 && kind.names_dataset(),
    }
}

/// A number from 1 to `most`, whose magnitude is uniform: small and large ones are equally likely.
fn spread(rng: &mut Rng, most: u32) -> u32 {
    let most = f64::from(most);
    (most.powf(rng.f64()).round() as u32).clamp(1, most as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_mix_and_all_are_within_the_bounds() {
        for seed in 0..1000 {
            let mix = random_mix(seed);
            assert_eq!(mix, random_mix(seed));
            assert!((1..=MAX_SESSIONS).contains(&mix.sessions) && mix.not_reading_percent <= 100);
            for shape in &mix.messages {
                let is_token = matches!(shape.kind, MessageKind::Renew | MessageKind::Hello);
                let (parts, most) = if is_token { (1, MAX_TOKEN_BYTES) } else { (shape.changes, MESSAGE_BYTES + 5 * MAX_CHANGES) };
                assert!(
                    parts * shape.value_bytes <= most && (is_token || parts * (shape.key_bytes + shape.value_bytes) <= most),
                    "{shape:?}"
                );
                assert!(shape.changes <= MAX_CHANGES && shape.key_bytes <= MAX_KEY_BYTES, "{shape:?}");
            }
        }
    }

    #[test]
    fn every_kind_of_message_value_and_base_is_drawn() {
        let shapes: Vec<_> = (0..1000).flat_map(|seed| random_mix(seed).messages).collect();
        assert!(MessageKind::ALL.iter().all(|kind| shapes.iter().any(|shape| shape.kind == *kind)));
        assert!(ValueShape::ALL.iter().all(|value| shapes.iter().any(|shape| shape.value == *value)));
        assert!(BaseChoice::ALL.iter().all(|base| shapes.iter().any(|shape| shape.base == *base)));
    }
}
