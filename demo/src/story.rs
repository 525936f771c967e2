//! What is printed: chapters, lines, and one line that moves while somebody looks at a terminal.

use std::io::{IsTerminal, Write, stdout};

/// See the module header.
#[derive(Debug)]
pub struct Story {
    quiet: bool,
    moving: bool,
    shown: bool,
}

impl Story {
    /// A quiet one tells the end only.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, moving: !quiet && stdout().is_terminal(), shown: false }
    }

    /// What comes now.
    pub fn chapter(&mut self, title: &str) {
        if !self.quiet {
            self.print(&format!("\n{title}"));
        }
    }

    /// What happened.
    pub fn line(&mut self, text: &str) {
        if !self.quiet {
            self.print(&format!("  {text}"));
        }
    }

    /// What is told in any case.
    pub fn end(&mut self, text: &str) {
        self.print(text);
    }

    /// How far it is. Only a terminal shows it, and only until the next line.
    pub fn progress(&mut self, text: &str) {
        if self.moving {
            let _ = write!(stdout(), "\r\x1b[2K  {text}");
            let _ = stdout().flush();
            self.shown = true;
        }
    }

    /// A reader who has left does not end the day: the exit code tells how it was.
    fn print(&mut self, text: &str) {
        let clear = if self.shown { "\r\x1b[2K" } else { "" };
        self.shown = false;
        let _ = writeln!(stdout(), "{clear}{text}");
    }
}
