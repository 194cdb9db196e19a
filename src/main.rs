//! The gpumkt binary.

fn main() {
    if std::env::args().nth(1).as_deref() == Some(gpumkt::sandbox::SUBCOMMAND) {
        std::process::exit(gpumkt::sandbox::child_main());
    }
}
