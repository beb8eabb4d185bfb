//! SRP against a vector that amazon-cognito-identity-js computes as well, and against a client written here from the formulas of RFC 5054 and
//! the padding of Java.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U256, U1024, U3072};

use super::exchange::{scramble, server_key, session_key, shared};
use super::group::{hexadecimal, modulus, padded};
use super::{SrpClaim, SrpClientKey, SrpExchange, SrpRefusal, SrpVerifier};
use crate::keyring::SecretKey;
use crate::users::proof::Password;

const POOL: &str = "AbCdEfGhI";
const USER: &str = "alice";
const TIMESTAMP: &str = "Mon Nov 3 08:38:46 UTC 2025";

/// The vector: user alice of the pool AbCdEfGhI, with the password `Passw0rd!`.
mod vector {
    pub const SALT: [u8; 16] = 0xceb20772e0c9d240c75eb26b0e37abee_u128.to_be_bytes();
    pub const SERVER_SECRET: &str = "\
        5267768822ee624d48fce15ec5ca79cbd602cb7f4c2157a516556991f22ef8c7b5ef7b18d1ff41c59370efb0858651d44a936c11b7b144c4\
        8fe04df3c6a3e8da5267768822ee624d48fce15ec5ca79cbd602cb7f4c2157a516556991f22ef8c7b5ef7b18d1ff41c59370efb0858651d4\
        4a936c11b7b144c48fe04df3c6a3e8da";
    pub const VERIFIER: &str = "\
        3dfa4faaef53ac81d28d0adfcadcd81aba636d39bae1239cd79968a940c742f07da84a508fb93faae00b1613c39a107dc0c802330b33846d\
        d57c7611f5486d3a7be147d36b75f4cf73e94a47a48fb4fcecaaa7d54dab6e1d42a809ef3965d0cd9f7db8cc6cc36504fd06024d29a90cb9\
        8c44b1642d367e48ee75499df121b9f55e30e0213d68205b172740153915fed406470f5c1d6d4e7a738fc23bb9155f98349d3a68ec6cb163\
        4bcfb51d08bda2f6129e3a5efe0b391eb39b9450f8e3c0d0392e1555c5609a1960bfffb2fe5c0a931cf30f29139d4265a43b3d6388c75974\
        985a48d2c8b500e85a77c2271ed84119f521558705d1245071c8061d488aa70399144fb5312cff278f5d8adcb7acc11b74204e24d1ddacce\
        6db5a4e747d432c2611015e56cb795151dc7cbc9f3f3ab273a5f005600634085a31d0e6f49b3d3f472d9600cc7b6186ea1d5a6bcb9a71cc9\
        bdb9d234db9f5f1f137557db98b35ec7c7ff881c1433951b27f271c19f660f93da004cb03cc128c410fd271222183596";
    pub const CLIENT_KEY: &str = "\
        39e3fb41e961f02142ccdf91bf0cb2d4dc644499178fc4711240a465f3bad4d32ae0c97e62f0e327effba5bdfdbf966c69ccf06dace33c30\
        eb93df35994b5c64e9645dcb790c2dbddffb08ffc6d4c7a6268cdf2f5a51b5f66d24a384c79d9fd6d5ed8abe0fb011e4971055b21ae9fdfb\
        fc3c7d00860aba612e50c38e5a6a48a34746d1f89568c3ae36af2b863b3de6902d4c49c8084dd6fb7b5c8e8b9ddae4c19fe192b1a9f485b4\
        bccf744a7834e1d72cbfc76e1322bd7fd63896db622fe0103b49fb8db85008701827ef1d0dd0128b859aff23a54a5776072f0002098c2f7d\
        d91c5a795e89cc0ecb175caecde3bcf7a120886f5c9ee048401ae17e63f5d848c36153fd297d35430c65ba58ba7302ff017ea133e4ea2f1d\
        5b4db6a6d07b50af26e6ec263708685b2314548f0f4652934736b2022e8c1a8e90e4abf11f05449f1523741b1c83e6f5177430711b14d795\
        32bdebb4bee5f27801db9ffb85b5ff3cd40131d28ab4c0db6936326727a655aeb936516bb429d75865fde89ef43bec4b";
    pub const SERVER_KEY: &str = "\
        a5e936c7b7fe3743a0c85c27e9791a0c9af9167b90b6763377239b894f6959058be9a0c731bee8cadc9ddf0d95255285f99808ed625370c0\
        624a4e030e89fb147ef831212f75f66d6c51d108c06f19a81d5fdeb27a0a9b5b14d606fcee8082e0d70543dea56318048671c0277a98ff83\
        e5595ce0360acbb860261673c4b90c7ae298b8142a8b3e0a4441a15716daaf44c13686afb4a4ac325b59b7714ad5f71f47c95ddd877cedb0\
        46d2b609e031e3b936ecba9a695a968611d454d1224fec5399e4117f9573b2444f38831853ae444d739d7edeccfcca24abe7072d02a6da93\
        02d524b9578556bd93eed45afc271872f1a747461d72d358857f609bda7940dee8aa6c94c0b5c15c7509f558f1f82aa6ded67ecc1ff849c3\
        972ed0d81275e7dc2617b0bfb3da12faf16a32abf88c1ef263163745c497437327519085019ae04ed07e200965e67b0e84e8b5f4b7d93db7\
        fa57d33fae8b8a77471f035cd7cb5548e26dbec78fad43132e8a4d95f7890471b5e9cf1be2963687a1ddd8012a29324d";
    pub const SCRAMBLE: &str = "34f54a2becd1971844f352a245f213cbda1c4e9341f104f79628d67e13814934";
    pub const SHARED: &str = "\
        5a7423b38202edbdffeba8f3f5f8a5b0f8dd22d56e29252ba22f4fb3b23180cbfc06f38ca29734cbb0a706fb4096ef01a16bc5fa54d9b4bc\
        1c364f607630c2d462861650c65edb43acf7102bf4f4a62e2f182fc67cba382b339e7f9967ba800a4bcafea3ea03dee80c58bfc7a5db533b\
        ad73c82f4dc340ab12a28ccfd7452fb803ae9bc9f2552b062d4a59ac0eff33f54e32e35ac6d292e8c26f804ec1e20c995e5a1a511b0d4024\
        47d43766359d359f91b9637a68dc043b68b32e674275ec7f33684d48a92f6196991bf85d99de27fccab1da7af07492be17dd96b96dba26de\
        909b073eca38c00f174d4d8067cc7391e668c1f80470f20e5ae4254af10ccf600f6139b8038d2712711aa76b8c93dd78ab6ee585e531adc7\
        1bcdaaf1eef567d9c4955546ee2f8b480b307be2d4c569868b234789da6301938a2324b9e21797bb43c7859b5fef86e4b7e7389e3b0e119d\
        d48a7f0a7a877a45eae01ddafacdb6bb8064f2f4aace398b90f1e7cc712d8c748b3ee5bca73f66721bdd17cf3374bb49";
    pub const SESSION_KEY: &str = "40a501fe66de56db09ba4dcd59e87995";
    pub const SECRET_BLOCK: &[u8] = b"secret-block";
    pub const SIGNATURE: &str = "qMUAie+N+xyS2c9Yvmu+JUnNM5nve7qmzhLgRD7RMKM=";
}

fn password(text: &str) -> Password<'_> {
    Password::parse(text).expect("a password")
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    digest(&SHA256, &parts.concat()).as_ref().try_into().expect("32 bytes")
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(number: &U3072) -> Vec<u8> {
    number.to_be_bytes().as_ref().to_vec()
}

/// A client, with other arithmetic than the server's: numbers that are reduced at run time, and exponents of 1,024 bits.
struct Client {
    secret: U1024,
    key: U3072,
}

fn params() -> FixedMontyParams<{ U3072::LIMBS }> {
    FixedMontyParams::new_vartime(Odd::new(*modulus()).expect("odd"))
}

fn residue(number: &U3072) -> FixedMontyForm<{ U3072::LIMBS }> {
    FixedMontyForm::new(number, &params())
}

impl Client {
    fn new(secret: U1024) -> Client {
        Client { secret, key: residue(&U3072::from_u32(2)).pow_vartime(&secret).retrieve() }
    }

    /// `S = (B - k g^x)^(a + u x)`.
    fn shared(&self, salt: &[u8], password: &str, server_key: &U3072) -> U3072 {
        let identity = hash(&[POOL.as_bytes(), USER.as_bytes(), b":", password.as_bytes()]);
        let x = U256::from_be_slice(&hash(&[&padded(salt), &identity]));
        let k = U256::from_be_slice(&hash(&[&padded(&bytes(modulus())), &[2]]));
        let u = U256::from_be_slice(&scramble(&self.key, server_key));
        let verifier = residue(&U3072::from_u32(2)).pow_vartime(&x);
        let base = residue(server_key) - residue(&k.resize()) * verifier;
        let exponent: U1024 = self.secret.wrapping_add(&u.concatenating_mul(&x).resize());
        base.pow_vartime(&exponent).retrieve()
    }

    fn sign(&self, salt: &str, password: &str, server_key: &str, secret_block: &[u8]) -> String {
        let salt: Vec<u8> = (0..salt.len()).step_by(2).map(|at| u8::from_str_radix(&salt[at..at + 2], 16).expect("a byte")).collect();
        let server_key = U3072::from_be_hex(&format!("{server_key:0>768}"));
        let u = scramble(&self.key, &server_key);
        let shared = self.shared(&salt, password, &server_key);
        // HKDF in its two steps, as the clients write them.
        let extracted = sign_with(&padded(&u), &padded(&bytes(&shared)));
        let key = sign_with(&extracted, b"Caldera Derived Key\x01");
        let message = [POOL.as_bytes(), USER.as_bytes(), secret_block, TIMESTAMP.as_bytes()].concat();
        STANDARD.encode(sign_with(&key[..16], &message))
    }
}

fn sign_with(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn claim<'a>(secret_block: &'a [u8], signature: &'a str) -> SrpClaim<'a> {
    SrpClaim { pool_name: POOL, user_id: USER, secret_block, timestamp: TIMESTAMP, signature }
}

fn random_client(random: &mut fastrand::Rng) -> Client {
    let mut secret = [0; 128];
    random.fill(&mut secret);
    secret[0] = 0;
    Client::new(U1024::from_be_slice(&secret))
}

fn chance<const BYTES: usize>(random: &mut fastrand::Rng) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    random.fill(&mut bytes);
    bytes
}

#[test]
fn the_numbers_are_those_of_the_vector() {
    let verifier = SrpVerifier::with_salt(POOL, USER, password("Passw0rd!"), vector::SALT);
    assert_eq!(text(&verifier.to_bytes()), text(&vector::SALT) + vector::VERIFIER);
    let client_key = U3072::from_be_hex(vector::CLIENT_KEY);
    let secret = U1024::from_be_hex(vector::SERVER_SECRET);
    let server_key = server_key(&verifier, &secret);
    assert_eq!(hexadecimal(&server_key), vector::SERVER_KEY);
    let scramble = scramble(&client_key, &server_key);
    assert_eq!(text(&scramble), vector::SCRAMBLE);
    let shared = shared(&verifier, &client_key, &secret, &scramble);
    assert_eq!(hexadecimal(&shared), vector::SHARED);
    let key = session_key(&shared, &scramble).expect("derives");
    assert_eq!(text(&key[..]), vector::SESSION_KEY);
    assert!(claim(vector::SECRET_BLOCK, vector::SIGNATURE).is_signed_with(&key));
}

#[test]
fn every_part_of_a_claim_is_signed() {
    let key = (0..16).map(|at| u8::from_str_radix(&vector::SESSION_KEY[2 * at..2 * at + 2], 16).expect("a byte"));
    let key: [u8; 16] = key.collect::<Vec<_>>().try_into().expect("16 bytes");
    let right = claim(vector::SECRET_BLOCK, vector::SIGNATURE);
    assert!(right.is_signed_with(&key));
    let longer = format!("{}=", vector::SIGNATURE);
    let url_safe = vector::SIGNATURE.replace('+', "-");
    let huge = "A".repeat(1024 * 1024);
    let mut wrong = vec![
        SrpClaim { pool_name: "AbCdEfGh", ..right },
        SrpClaim { user_id: "Alice", ..right },
        SrpClaim { secret_block: b"secret-blocks", ..right },
        SrpClaim { timestamp: "Mon Nov 3 08:38:47 UTC 2025", ..right },
        SrpClaim { timestamp: "Mon Nov 03 08:38:46 UTC 2025", ..right },
    ];
    wrong.extend(
        ["", "=", &longer, &url_safe, &huge, vector::SIGNATURE.trim_end_matches('=')].map(|signature| SrpClaim { signature, ..right }),
    );
    for claim in wrong {
        assert!(!claim.is_signed_with(&key), "{} {}", claim.timestamp, &claim.signature[..claim.signature.len().min(50)]);
    }
    // Each letter of the signature.
    for at in 0..vector::SIGNATURE.len() - 1 {
        let other = if vector::SIGNATURE.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut altered = vector::SIGNATURE.to_owned();
        altered.replace_range(at..=at, other);
        assert!(!SrpClaim { signature: &altered, ..right }.is_signed_with(&key), "{at}");
    }
}

#[test]
fn a_client_that_knows_the_password_is_accepted_and_no_other() {
    let mut random = fastrand::Rng::with_seed(17);
    for round in 0..12 {
        let length = random.usize(6..40);
        let right: String = std::iter::repeat_with(|| random.char('!'..)).take(length).collect();
        let user_password = password(&right);
        let verifier = SrpVerifier::of_password(POOL, USER, user_password, chance(&mut random));
        let verifier = SrpVerifier::from_bytes(&verifier.to_bytes()).expect("decodes");
        let client = random_client(&mut random);
        let client_key = SrpClientKey::parse(&hexadecimal(&client.key)).expect("a key");
        let (exchange, server_key) = SrpExchange::start(&verifier, &client_key, chance(&mut random)).expect("begins");
        let exchange = SrpExchange::from_bytes(&exchange.to_bytes()).expect("decodes");
        let block: [u8; 40] = chance(&mut random);
        let signature = client.sign(&verifier.salt_text(), &right, &server_key, &block);
        assert_eq!(exchange.accepts(&verifier, &claim(&block, &signature)), Ok(true), "round {round}: {right:?}");
        let wrong = client.sign(&verifier.salt_text(), &format!("{right}x"), &server_key, &block);
        assert_eq!(exchange.accepts(&verifier, &claim(&block, &wrong)), Ok(false), "round {round}");
        // The answer to one exchange is none to another, and the password of today is not that of yesterday.
        let (other, _) = SrpExchange::start(&verifier, &client_key, chance(&mut random)).expect("begins");
        assert_eq!(other.accepts(&verifier, &claim(&block, &signature)), Ok(false), "round {round}");
        let changed = SrpVerifier::of_password(POOL, USER, password("Other0ne!"), chance(&mut random));
        assert_eq!(exchange.accepts(&changed, &claim(&block, &signature)), Ok(false), "round {round}");
    }
}

/// Numbers with a leading zero byte, each found by a search: the client's secret, the last bytes of the server's, and which number is short.
#[test]
fn numbers_with_leading_zeros_are_padded_as_clients_pad_them() {
    let verifier = SrpVerifier::with_salt(POOL, USER, password("Passw0rd!"), [0x47; 16]);
    for (secret, server_secret, short) in [(4096, 277, "B"), (4295, 0, "u"), (4723, 0, "S"), (4859, 0, "A")] {
        let client = Client::new(U1024::from_u32(secret));
        let client_key = SrpClientKey::parse(&hexadecimal(&client.key)).expect("a key");
        let chance = U256::from_u32(server_secret).to_be_bytes().as_ref().try_into().expect("32 bytes");
        let (exchange, server_key) = SrpExchange::start(&verifier, &client_key, chance).expect("begins");
        let server_number = U3072::from_be_hex(&format!("{server_key:0>768}"));
        let u = scramble(&client.key, &server_number);
        let both = client.shared(&[0x47; 16], "Passw0rd!", &server_number);
        let first = [("A", bytes(&client.key)[0]), ("B", bytes(&server_number)[0]), ("u", u[0]), ("S", bytes(&both)[0])];
        let shorts: Vec<_> = first.iter().filter(|(_, first)| *first == 0).map(|(name, _)| *name).collect();
        assert_eq!(shorts, [short]);
        let signature = client.sign(&verifier.salt_text(), "Passw0rd!", &server_key, b"block");
        assert_eq!(exchange.accepts(&verifier, &claim(b"block", &signature)), Ok(true), "{short}");
    }
}

#[test]
fn a_key_without_a_remainder_or_of_another_group_is_refused() {
    let modulus_text = hexadecimal(modulus());
    let one_less = hexadecimal(&modulus().wrapping_sub(&U3072::ONE));
    let one_more = hexadecimal(&modulus().wrapping_add(&U3072::ONE));
    let twice = format!("1{}", "f".repeat(768));
    let huge = "f".repeat(1024 * 1024);
    let zeros = "0".repeat(1024 * 1024);
    for text in [
        "",
        "0",
        "00",
        "-1",
        "+1",
        "0x1f",
        " 1",
        "1 ",
        "1g",
        "\u{ff11}",
        "1\0",
        &"0".repeat(768),
        &modulus_text,
        &format!("00{modulus_text}"),
        &one_more,
        &twice,
        &huge,
        &zeros,
        &"f".repeat(768),
    ] {
        assert_eq!(SrpClientKey::parse(text), Err(SrpRefusal::ClientKey), "{:.20}", text);
    }
    for text in ["1", "01", "2", "aBc", &one_less, &format!("00{one_less}"), &one_less.to_uppercase(), vector::CLIENT_KEY] {
        assert!(SrpClientKey::parse(text).is_ok(), "{:.20}", text);
    }
}

/// With the key 0 or the modulus, what both sides share would be 0, whatever the password; with an exponent of 0 it would be 1.
#[test]
fn nobody_is_accepted_who_guesses_what_both_sides_share() {
    let mut random = fastrand::Rng::with_seed(5);
    let verifier = SrpVerifier::of_password(POOL, USER, password("Passw0rd!"), chance(&mut random));
    let one_less = hexadecimal(&modulus().wrapping_sub(&U3072::ONE));
    for key in ["1", "2", &one_less] {
        for chance in [[0; 32], [0xff; 32], chance(&mut random)] {
            let (exchange, server_key) = SrpExchange::start(&verifier, &SrpClientKey::parse(key).expect("a key"), chance).expect("begins");
            let number = U3072::from_be_hex(&format!("{server_key:0>768}"));
            let u = scramble(&U3072::from_be_hex(&format!("{key:0>768}")), &number);
            for guess in [U3072::ZERO, U3072::ONE, U3072::from_u32(2), modulus().wrapping_sub(&U3072::ONE), *modulus(), number] {
                let key = session_key(&guess, &u).expect("derives");
                let message = [POOL.as_bytes(), USER.as_bytes(), b"block", TIMESTAMP.as_bytes()].concat();
                let signature = STANDARD.encode(sign_with(&key[..], &message));
                assert_eq!(exchange.accepts(&verifier, &claim(b"block", &signature)), Ok(false), "{guess}");
            }
        }
    }
}

#[test]
fn an_unknown_user_is_answered_like_a_known_one_and_never_accepted() {
    let mut random = fastrand::Rng::with_seed(9);
    let secret = SecretKey::random().expect("a key");
    let of = |pool: &str, user: &str| SrpVerifier::of_unknown_user(&secret, pool, user).expect("derives");
    let unknown = of(POOL, "nobody");
    assert_eq!(unknown.to_bytes(), of(POOL, "nobody").to_bytes(), "the salt of a name is the same at every attempt");
    for other in [of(POOL, "somebody"), of("other", "nobody")] {
        assert_ne!(unknown.salt_text(), other.salt_text());
    }
    let another_server = SrpVerifier::of_unknown_user(&SecretKey::random().expect("a key"), POOL, "nobody").expect("derives");
    assert_ne!(unknown.salt_text(), another_server.salt_text());
    let client = random_client(&mut random);
    let client_key = SrpClientKey::parse(&hexadecimal(&client.key)).expect("a key");
    let known = SrpVerifier::of_password(POOL, USER, password("Passw0rd!"), chance(&mut random));
    for verifier in [unknown, known] {
        // The same shape: 32 digits of a salt that no client pads, and a key of the group.
        let salt = verifier.salt_text();
        assert_eq!((salt.len(), ('4'..='7').contains(&salt.chars().next().expect("a digit"))), (32, true), "{salt}");
        let (exchange, server_key) = SrpExchange::start(&verifier, &client_key, chance(&mut random)).expect("begins");
        assert!((700..=768).contains(&server_key.len()) && !server_key.starts_with('0'));
        let signature = client.sign(&salt, "Passw0rd?", &server_key, b"block");
        assert_eq!(exchange.accepts(&verifier, &claim(b"block", &signature)), Ok(false));
    }
}

#[test]
fn nothing_secret_prints_itself_and_other_bytes_are_nothing() {
    let mut random = fastrand::Rng::with_seed(11);
    let verifier = SrpVerifier::of_password(POOL, USER, password("Passw0rd!"), chance(&mut random));
    let client_key = SrpClientKey::parse("2").expect("a key");
    let (exchange, _) = SrpExchange::start(&verifier, &client_key, chance(&mut random)).expect("begins");
    assert_eq!(format!("{verifier:?} {client_key:?} {exchange:?}"), "SrpVerifier SrpClientKey SrpExchange");
    let (verifier, exchange) = (verifier.to_bytes(), exchange.to_bytes());
    assert_eq!((verifier.len(), exchange.len()), (SrpVerifier::BYTES, SrpExchange::BYTES));
    for end in 0..verifier.len() {
        assert!(SrpVerifier::from_bytes(&verifier[..end]).is_none());
    }
    for end in 0..exchange.len() {
        assert!(SrpExchange::from_bytes(&exchange[..end]).is_none());
    }
    assert!(SrpVerifier::from_bytes(&[&verifier[..], &[0]].concat()).is_none());
    assert!(SrpExchange::from_bytes(&[&exchange[..], &[0]].concat()).is_none());
}
