//! Turns an engine's panics into errors: engines panic on damaged files. The panic's text becomes one line, and is not printed to stderr.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static IS_CATCHING: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// The names of sled's own threads begin with this. sled catches their panics itself and passes them to the thread that waits.
const SLED_THREADS: &str = "sled-io-";

/// Runs a call of an engine. A panic is returned as its text.
pub(super) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(install_hook);
    let outer = IS_CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    IS_CATCHING.set(outer);
    result.map_err(|panic| text(panic.as_ref()))
}

/// Every other panic of the process is printed as before.
fn install_hook() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_sled = std::thread::current().name().is_some_and(|name| name.starts_with(SLED_THREADS));
        if !is_sled && !IS_CATCHING.get() {
            print(panic);
        }
    }));
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    // The text of an assertion has several lines.
    text.unwrap_or("no reason was given").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_one_line() {
        let outcome: Result<(), String> = catch(|| panic!("lines\n  of {}", "text"));
        assert_eq!(outcome, Err("lines of text".to_owned()));
        assert_eq!(catch(|| 7), Ok(7));
        assert!(!IS_CATCHING.get(), "a panic outside is printed");
    }
}
