//! Engines panic on damaged files. A panic in here becomes an error, and one line of it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Threads that sled makes for itself; it catches what panics in them and hands it to whoever waits.
const OWN_THREADS: &str = "sled-io-";

/// Runs a call of an engine. A panic comes back as its text, and is not printed.
pub(super) fn run<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(keep_quiet);
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(outer);
    result.map_err(|panic| text(panic.as_ref()))
}

/// Lets every panic of the process be printed as before, except those that `run` makes an error of.
fn keep_quiet() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let own = std::thread::current().name().is_some_and(|name| name.starts_with(OWN_THREADS));
        if !own && !GUARDED.get() {
            print(panic);
        }
    }));
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    // One line: an assertion's text has several.
    text.unwrap_or("no reason was given").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_one_line() {
        let outcome: Result<(), String> = run(|| panic!("lines\n  of {}", "text"));
        assert_eq!(outcome, Err("lines of text".to_owned()));
        assert_eq!(run(|| 7), Ok(7));
        assert!(!GUARDED.get(), "what panics outside is printed");
    }
}
