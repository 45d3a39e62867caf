//! A `println!` that ends the program, and quietly, when who reads its output has left: `| head -1`.

macro_rules! println {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        if let Err(error) = writeln!(std::io::stdout(), $($text)*) {
            crate::print::unheard(&error)
        }
    }};
}

pub fn unheard(error: &std::io::Error) -> ! {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    eprintln!("cannot print: {error}");
    std::process::exit(1)
}
