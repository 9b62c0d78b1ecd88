//! Types that have no encoding.

#[crosspoint::remote]
trait Types {
    fn absent(&self, value: Option<u8>);
}

fn main() {}
