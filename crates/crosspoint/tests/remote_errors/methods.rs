//! Methods that cannot be called remotely.

use crosspoint::remote::Origin;

#[crosspoint::remote]
trait Methods {
    fn generic<T>(&self, value: T);
    async fn waits(&self);
    fn without_self(value: u8);
    fn by_value(self);
    fn reference(&self, text: &str);
    fn any(&self, value: impl Into<String>);
    fn pattern(&self, (a, b): (u8, u8)) {
        let _ = (a, b);
    }
    fn unit(&self) -> ();
    fn borrowed(&self) -> &str;
    fn new(&self);
    #[cfg(debug_assertions)]
    fn sometimes(&self);
    fn two(&self, #[remote(caller)] a: Origin, #[remote(caller)] b: Origin);
    fn unknown(&self, #[remote(sender)] a: Origin);
}

fn main() {}
