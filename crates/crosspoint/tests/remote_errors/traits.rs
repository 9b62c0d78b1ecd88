//! Things that cannot be remote traits.

#[crosspoint::remote]
trait Generic<T> {
    fn method(&self);
}

#[crosspoint::remote]
trait Associated {
    type Name;
    fn method(&self);
}

#[crosspoint::remote]
trait Empty {}

#[crosspoint::remote(id = 3)]
trait Arguments {
    fn method(&self);
}

#[crosspoint::remote]
struct NotATrait;

fn main() {}
