//! What a shell and a reader need of the commands: completions and manual pages, made from the commands themselves.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

/// The program's name in completions and manual pages: that of an installed one.
const PROGRAM: &str = "driftless";

/// The completions for a shell.
pub fn completions(mut command: Command, shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, PROGRAM, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of the program, or of one of its commands.
pub fn manual_page(command: Command, path: &[String]) -> Result<String, String> {
    let (mut command, mut name) = (command, PROGRAM.to_owned());
    command.build();
    for part in path {
        let found = command.find_subcommand(part).cloned();
        command = found.ok_or_else(|| format!("{name} has no command {part}"))?;
        name = format!("{name} {part}");
    }
    let mut page = Vec::new();
    // The page's title has no spaces; its text has.
    let command = command.name(name.replace(' ', "-")).bin_name(name);
    clap_mangen::Man::new(command).render(&mut page).map_err(|why| why.to_string())?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Writes all manual pages into a folder, one for each command, and returns how many. `help` has none: `man` shows what it does.
pub fn manual_pages(command: Command, folder: &Path) -> io::Result<usize> {
    if !folder.exists() {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    let mut command = command.name(PROGRAM).disable_help_subcommand(true);
    command.build();
    clap_mangen::generate_to(command, folder)?;
    let is_page = |name: &str| name.starts_with(PROGRAM) && name.ends_with(".1");
    let mut pages = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_page) {
            // Everybody reads manual pages, whatever the program does for its own files.
            std::fs::set_permissions(entry.path(), Permissions::from_mode(0o644))?;
            pages += 1;
        }
    }
    Ok(pages)
}
