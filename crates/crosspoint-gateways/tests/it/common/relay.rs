//! The joint protocol's relay in its most naive form: who gets which frames.

use super::frames::{Act, Unit, acts};
use super::transcript::{Line, Side, connections};
use std::collections::{BTreeMap, HashMap};

/// Connection, joint byte and user byte (0 where there is none) of a receiver.
pub(crate) type Way = (usize, u8, u8);

#[derive(Default)]
struct Joint {
    owner: (usize, u8),
    /// User numbers, and the connections and in numbers behind them.
    members: BTreeMap<u8, (usize, u8)>,
}

#[derive(Default, Clone)]
struct Connection {
    stream: Vec<u8>,
    owned: BTreeMap<u8, usize>,
    /// Joints and own user numbers.
    entered: BTreeMap<u8, (usize, u8)>,
}

#[derive(Default)]
struct Relay {
    connections: Vec<Connection>,
    joints: Vec<Joint>,
    names: HashMap<Vec<u8>, usize>,
    frames: HashMap<Way, Vec<Vec<u8>>>,
}

fn lowest<T>(taken: &BTreeMap<u8, T>, end: u16) -> Option<u8> {
    (0..end).map(|n| n as u8).find(|number| !taken.contains_key(number))
}

/// The data of each frame that each receiver has to get, in order.
pub(crate) fn frames(lines: &[Line]) -> HashMap<Way, Vec<Vec<u8>>> {
    let mut relay =
        Relay { connections: vec![Connection::default(); connections(lines)], ..Relay::default() };
    for line in lines.iter().filter(|line| line.side == Side::Client) {
        let Some(bytes) = &line.bytes else {
            relay.close(line.conn);
            continue;
        };
        let stream = &mut relay.connections[line.conn].stream;
        stream.extend(bytes);
        let (acts, whole) = acts(stream);
        stream.drain(..whole);
        for act in acts {
            relay.act(line.conn, act);
        }
    }
    relay.frames
}

impl Relay {
    fn act(&mut self, conn: usize, act: Act) {
        match act {
            Act::Command(0, _, name) => self.create(conn, name),
            Act::Command(1, _, name) => self.enter(conn, &name),
            Act::Command(2, _, number) => {
                if let Some((joint, user)) = self.connections[conn].entered.remove(&number[0]) {
                    self.joints[joint].members.remove(&user);
                }
            }
            Act::Command(3, _, number) => {
                if let Some(joint) = self.connections[conn].owned.remove(&number[0]) {
                    self.end(joint);
                }
            }
            Act::Command(..) => self.close(conn),
            Act::Data(mode, joint, user, data) if joint >= 0x80 => {
                let Some(joint) = self.connections[conn].owned.get(&(joint - 0x80)) else {
                    return;
                };
                for (number, (member, entered)) in &self.joints[*joint].members {
                    let meant = match mode {
                        None => *number == user,
                        Some(0) => *number != user,
                        Some(_) => true,
                    };
                    if meant {
                        let way = (*member, *entered, 0);
                        self.frames.entry(way).or_default().push(data.clone());
                    }
                }
            }
            Act::Data(_, number, _, data) => {
                if let Some((joint, user)) = self.connections[conn].entered.get(&number) {
                    let (owner, own) = self.joints[*joint].owner;
                    let way = (owner, 0x80 + own, *user);
                    self.frames.entry(way).or_default().push(data);
                }
            }
        }
    }

    fn create(&mut self, conn: usize, name: Vec<u8>) {
        let own = lowest(&self.connections[conn].owned, 128);
        if let Some(own) = own.filter(|_| !self.names.contains_key(&name)) {
            self.names.insert(name, self.joints.len());
            self.connections[conn].owned.insert(own, self.joints.len());
            self.joints.push(Joint { owner: (conn, own), ..Joint::default() });
        }
    }

    fn enter(&mut self, conn: usize, name: &[u8]) {
        let Some(joint) = self.names.get(name).copied() else {
            return;
        };
        let Joint { owner, members } = &mut self.joints[joint];
        let entered = &mut self.connections[conn].entered;
        let twice = owner.0 == conn || members.values().any(|(member, _)| *member == conn);
        if let (false, Some(user), Some(number)) =
            (twice, lowest(members, 256), lowest(entered, 128))
        {
            members.insert(user, (conn, number));
            entered.insert(number, (joint, user));
        }
    }

    fn end(&mut self, joint: usize) {
        self.names.retain(|_, named| *named != joint);
        for (_, (member, entered)) in std::mem::take(&mut self.joints[joint].members) {
            self.connections[member].entered.remove(&entered);
        }
    }

    fn close(&mut self, conn: usize) {
        let Connection { owned, entered, .. } = std::mem::take(&mut self.connections[conn]);
        for joint in owned.into_values() {
            self.end(joint);
        }
        for (joint, user) in entered.into_values() {
            self.joints[joint].members.remove(&user);
        }
    }
}

/// Asserts that a connection got the frames of its ways, complete and in order, and that none was
/// merged with the one before it.
pub(crate) fn assert_not_merged(
    name: &str,
    conn: usize,
    got: &[Unit],
    sent: &HashMap<Way, Vec<Vec<u8>>>,
) {
    let mut ways: HashMap<Way, Vec<&[u8]>> = HashMap::new();
    for unit in got {
        if let Unit::Data(joint, user, data) = unit {
            let way = (conn, *joint, *user);
            ways.entry(way).or_default().push(data);
        }
    }
    let full = |data: &&Vec<u8>| !data.is_empty();
    for (way, sent) in sent.iter().filter(|(way, _)| way.0 == conn) {
        let got = ways.remove(way).unwrap_or_default();
        let sent: Vec<&[u8]> = sent.iter().filter(full).map(Vec::as_slice).collect();
        assert!(got.concat() == sent.concat(), "{name}: {way:?} got other data");
        let got = borders(&got);
        assert!(
            borders(&sent).iter().all(|border| got.contains(border)),
            "{name}: {way:?} got merged frames"
        );
    }
    assert!(ways.is_empty(), "{name}: {conn} got data from nowhere");
}

fn borders(frames: &[&[u8]]) -> std::collections::HashSet<usize> {
    frames
        .iter()
        .scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        })
        .collect()
}
