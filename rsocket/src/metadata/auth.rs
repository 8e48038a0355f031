//! Credentials (Extensions/Security/Authentication.md).

/// The content of a 0x7C entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// `simple`: user and password.
    Simple {
        /// The user name.
        user: &'a str,
        /// The password.
        password: &'a str,
    },
    /// `bearer`: a token.
    Bearer(&'a str),
    /// A type not known here.
    Other,
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Simple { .. } => "Simple(..)",
            Self::Bearer(_) => "Bearer(..)",
            Self::Other => "Other",
        })
    }
}

impl<'a> Credentials<'a> {
    /// Reads an entry's content; `None` if it is cut short or no UTF-8.
    pub fn read(content: &'a [u8]) -> Option<Self> {
        let (&first, rest) = content.split_first()?;
        let (kind, rest) = if first & 0x80 != 0 {
            (first & 0x7F, rest)
        } else {
            let (name, rest) = rest.split_at_checked(usize::from(first) + 1)?;
            match name {
                b"simple" => (0, rest),
                b"bearer" => (1, rest),
                _ => return Some(Self::Other),
            }
        };
        match kind {
            0 => {
                let (length, rest) = rest.split_at_checked(2)?;
                let (user, password) =
                    rest.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
                Some(Self::Simple {
                    user: std::str::from_utf8(user).ok()?,
                    password: std::str::from_utf8(password).ok()?,
                })
            }
            1 => Some(Self::Bearer(std::str::from_utf8(rest).ok()?)),
            _ => Some(Self::Other),
        }
    }
}

/// The content of a bearer entry.
pub fn bearer(token: &str) -> Vec<u8> {
    [&[0x81], token.as_bytes()].concat()
}
