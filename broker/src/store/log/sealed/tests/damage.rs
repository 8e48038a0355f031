//! Flipped bits, cut ends, crashes: what is lost is as small as it can be, and is known.

use super::super::footer::Footer;
use super::super::page::Role;
use super::super::{Damage, salvage};
use super::*;
use crate::store::log::disk::simulated::Operation;
use crate::store::log::disk::{Disk, File};
use crate::store::log::file::PAGE;

fn small() -> Model {
    let mut model = Model::new();
    for (topic, offset, len) in [(1, 4, 0), (1, 5, 30), (1, 9, 100), (2, 0, 7), (5, 77, 40), (5, 78, 1)] {
        model.insert((TopicId(topic), offset), Some(stored(offset, 1000 + offset, len)));
    }
    model.insert((TopicId(5), 80), None);
    model
}

/// As it is opened in a folder where the log says that it counts.
fn open_counting(disk: &Simulated, id: u64) -> (Sealed, Damage) {
    let (directories, name) = (directories(1 << 20), file(id).to_string());
    match open(disk, &directories, file(id), &name).unwrap() {
        Opened::Complete(sealed) => (sealed, Damage::default()),
        Opened::Damaged(sealed, damage) => (sealed, damage),
        Opened::Incomplete(_) => salvage(disk, &directories, file(id), &name, &[7, 9]).unwrap(),
    }
}

/// The record that a byte of a file is in.
fn hit(model: &Model, footer: &Footer, byte: u64) -> Option<(TopicId, Offset)> {
    let mut end = footer.records_from;
    let mut keys = model.keys();
    records(model).find_map(|record| {
        let key = keys.next()?;
        let from = end;
        end += record.unwrap().len() as u64;
        (from..end).contains(&byte).then_some(*key)
    })
}

#[test]
fn a_flipped_bit_costs_the_record_it_is_in_and_is_listed() {
    let (disk, model) = (Simulated::new(1), small());
    let sealed = seal(&disk, 1, &model);
    let name = file(1).to_string();
    let footer = &sealed.footer;
    // Behind its content a page is zeros.
    let records = footer.records_from..footer.records_to;
    let is_looked_at = |byte: &u64| records.contains(byte) || byte % PAGE as u64 <= 200 || byte % 64 == 11;
    for byte in (0..footer.file_len()).filter(is_looked_at) {
        let lost = hit(&model, footer, byte);
        let bits = if lost.is_some() { 0..8 } else { byte % 8..byte % 8 + 1 };
        for bit in bits {
            disk.flip(&name, byte * 8 + bit);
            let (sealed, _) = open_counting(&disk, 1);
            let mut expected = model.clone();
            lost.iter().for_each(|lost| *expected.get_mut(lost).unwrap() = None);
            assert_eq!(contents(&sealed, &topics(&model)), expected, "byte {byte}");
            assert_eq!(sealed.replaces(), &[7, 9]);
            let records = sealed.records(&|_, _| Kept::All).count();
            assert_eq!(records, model.len(), "byte {byte}");
            let damage = sealed.verify().unwrap();
            assert_eq!(damage.records, lost.into_iter().collect::<Vec<_>>(), "byte {byte}");
            assert_eq!(damage.pages.len(), usize::from(lost.is_none()), "byte {byte}");
            disk.flip(&name, byte * 8 + bit);
        }
    }
}

#[test]
fn opening_tells_of_damage_where_it_looks() {
    let (disk, model) = (Simulated::new(1), small());
    let len = seal(&disk, 1, &model).footer.file_len();
    let name = file(1).to_string();
    let page = PAGE as u64;
    for at in [len - 3 * page, len - 2 * page, len - page] {
        disk.flip(&name, (at + 26) * 8);
        assert_eq!(open_counting(&disk, 1).1.pages, [at]);
        disk.flip(&name, (at + 26) * 8);
    }
}

#[test]
fn a_cut_file_gives_what_is_before_the_cut() {
    let (disk, model) = (Simulated::new(1), small());
    let footer = seal(&disk, 1, &model).footer.clone();
    let name = file(1).to_string();
    for len in (0..footer.file_len()).filter(|len| *len <= footer.records_to || len % 509 == 0) {
        let disk = disk.fork();
        disk.truncate(&name, len);
        let opened = open(&disk, &directories(1 << 20), file(1), &name).unwrap();
        let Opened::Incomplete(replaces) = opened else { panic!("{opened:?}") };
        assert_eq!(replaces.is_some(), len >= 2 * PAGE as u64);
        let (sealed, _) = open_counting(&disk, 1);
        let mut end = footer.records_from;
        let mut expected = model.clone();
        let ends: Vec<_> = records(&model)
            .map(|record| {
                end += record.unwrap().len() as u64;
                end
            })
            .collect();
        let mut ends = ends.into_iter();
        expected.retain(|_, _| ends.next().unwrap() <= len);
        assert_eq!(contents(&sealed, &topics(&model)), expected, "cut to {len}");
        sealed.verify().unwrap();
    }
}

/// With entries as large as they get.
fn high() -> Model {
    let key = |topic: u64| (TopicId(topic << 40), topic << 44);
    let keys = (1..=18_000).map(key);
    keys.map(|(topic, offset)| ((topic, offset), Some(stored(offset, u64::MAX / 2 + offset, 1)))).collect()
}

#[test]
fn every_page_of_a_high_directory_can_be_made_again() {
    let (disk, model) = (Simulated::new(1), high());
    let sealed = seal(&disk, 1, &model);
    assert_eq!(sealed.footer.levels.len(), 3, "{:?}", sealed.footer.levels);
    let name = file(1).to_string();
    let of: Vec<TopicId> = topics(&model).into_iter().step_by(830).collect();
    let mut expected = model.clone();
    expected.retain(|(topic, _), _| of.contains(topic));
    let runs: Vec<_> = sealed.topics().map(Result::unwrap).collect();
    let place = |role, number: u32| sealed.footer.position(role) + u64::from(number) * PAGE as u64;
    let roles = [Role::Level(0), Role::Level(1), Role::Level(2), Role::Runs];
    for role in roles {
        let pages = sealed.footer.pages(role);
        for number in (0..pages).step_by(29).chain([pages - 1]) {
            let whole = sealed.stored_page(role, number).unwrap().unwrap();
            disk.flip(&name, (place(role, number) + 40) * 8);
            let (opened, _) = open_counting(&disk, 1);
            assert_eq!(opened.stored_page(role, number).unwrap(), None);
            assert!(opened.page(role, number).unwrap() == whole, "{role:?} {number}");
            assert!(contents(&opened, &of) == expected, "{role:?} {number}");
            assert_eq!(opened.topics().map(Result::unwrap).collect::<Vec<_>>(), runs);
            disk.flip(&name, (place(role, number) + 40) * 8);
        }
    }
    for role in roles {
        (0..sealed.footer.pages(role)).for_each(|number| disk.flip(&name, (place(role, number) + 40) * 8));
        let (opened, _) = open_counting(&disk, 1);
        assert!(contents(&opened, &of) == expected, "all of {role:?} and before");
    }
    // By now none is right.
    let damage = open_counting(&disk, 1).0.verify().unwrap();
    assert_eq!((damage.records.len(), damage.unknown), (0, 0));
    let pages: u32 = roles.map(|role| sealed.footer.pages(role)).iter().sum();
    assert_eq!(damage.pages.len() as u32, pages);
}

#[test]
fn a_record_within_a_message_is_never_given_out() {
    let disk = Simulated::new(1);
    let forged = record(TopicId(1), &stored(2, 2, 20));
    let outer = Stored { offset: 1, timestamp: 1, content: forged.clone() };
    let mut model: Model = [((TopicId(1), 1), Some(outer)), ((TopicId(1), 5), Some(stored(5, 5, 5)))].into();
    let sealed = seal(&disk, 1, &model);
    let name = file(1).to_string();
    let leaf = sealed.footer.position(Role::Level(0));
    for byte in 0..32 {
        let disk = disk.fork();
        disk.flip(&name, (leaf + 40) * 8);
        disk.flip(&name, (sealed.footer.records_from + byte) * 8);
        let (sealed, _) = open_counting(&disk, 1);
        let (messages, damaged) = read_all(&sealed, TopicId(1));
        assert!(!messages.iter().any(|message| message.offset == 2), "byte {byte}");
        assert!(damaged.len() <= 1);
    }
    // Damage of the record alone costs the record alone.
    disk.flip(&name, (sealed.footer.records_from + 4) * 8);
    model.insert((TopicId(1), 1), None);
    assert_eq!(contents(&open_counting(&disk, 1).0, &[TopicId(1)]), model);
}

#[test]
fn a_file_without_its_end_is_read_when_it_counts() {
    let (disk, model) = (Simulated::new(1), small());
    let footer = seal(&disk, 1, &model).footer.clone();
    let name = file(1).to_string();
    for copy in 0..2 {
        disk.flip(&name, (footer.position(Role::Footer) + copy * PAGE as u64 + 100) * 8);
    }
    let opened = open(&disk, &directories(0), file(1), &name).unwrap();
    assert!(matches!(&opened, Opened::Incomplete(Some(replaces)) if replaces == &[7, 9]), "{opened:?}");
    let (sealed, damage) = open_counting(&disk, 1);
    assert!(damage.is_none() && sealed.is_salvaged());
    assert_eq!(contents(&sealed, &topics(&model)), model);
    assert_eq!(sealed.times().unwrap().1, 1078);
    // And with a record damaged as well.
    for byte in (footer.records_from..footer.records_to).step_by(3) {
        disk.flip(&name, byte * 8);
        let (sealed, damage) = open_counting(&disk, 1);
        let lost = hit(&model, &footer, byte).unwrap();
        let mut found = contents(&sealed, &topics(&model));
        assert_eq!(damage.records.len() as u64 + damage.unknown, u64::from(lost != (TopicId(5), 80)), "byte {byte}");
        found.retain(|_, message| message.is_some());
        let mut expected = model.clone();
        expected.retain(|key, message| *key != lost && message.is_some());
        assert_eq!(found, expected, "byte {byte}");
        disk.flip(&name, byte * 8);
    }
}

#[test]
fn a_file_that_a_crash_left_unfinished_is_incomplete() {
    let model = small();
    let write_on = |disk: &Simulated| write(disk, &directories(0), file(1), &[7, 9], 0, records(&model));
    let dry = Simulated::new(0);
    write_on(&dry).unwrap();
    let steps = dry.operations();
    let (mut incomplete, mut complete) = (0, 0);
    for seed in 0..60 {
        for step in 0..steps {
            let disk = Simulated::new(seed);
            disk.crash_after(step);
            write_on(&disk).unwrap_err();
            if seed % 2 == 0 {
                disk.power_cut(seed)
            } else {
                disk.kill()
            };
            if disk.names().is_empty() {
                continue;
            }
            match open(&disk, &directories(0), file(1), &file(1).to_string()).unwrap() {
                Opened::Incomplete(replaces) => {
                    assert!(replaces.is_none_or(|replaces| replaces == [7, 9]));
                    incomplete += 1;
                }
                Opened::Complete(sealed) | Opened::Damaged(sealed, _) => {
                    assert_eq!(contents(&sealed, &topics(&model)), model, "seed {seed}, step {step}");
                    assert_eq!(sealed.verify().unwrap().records, []);
                    complete += 1;
                }
            }
        }
    }
    assert!(incomplete > 50 && complete > 5, "{incomplete} incomplete, {complete} complete");
}

#[test]
fn a_failed_read_is_an_error_and_no_damage() {
    let (disk, model) = (Simulated::new(1), wide(1, 3000, 100));
    let sealed = seal(&disk, 1, &model);
    let (mut out, mut damaged) = (Vec::new(), Vec::new());
    disk.fail(Operation::Read, "sealed", None);
    sealed.read(TopicId(1), 0, EVERYTHING, &mut out, &mut damaged).unwrap_err();
    sealed.offset_at(TopicId(1), 0).unwrap_err();
    sealed.verify().unwrap_err();
    assert!(sealed.records(&|_, _| Kept::All).next().unwrap().is_err());
    let opened = open(&disk, &directories(0), file(1), &file(1).to_string());
    assert!(opened.is_err(), "a file that cannot be read is not an incomplete one");
    assert_eq!((out.len(), damaged.len()), (0, 0));
    disk.heal();
    assert!(contents(&sealed, &[TopicId(1)]) == model);
}

/// What the system remembers of a file is wrong, the disk is right.
#[derive(Debug)]
struct Stale(Simulated);

#[derive(Debug)]
struct StaleFile(Arc<dyn File>);

impl Disk for Stale {
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        self.0.create(name, len)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(StaleFile(self.0.open(name)?)))
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.0.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }

    fn free_space(&self) -> io::Result<u64> {
        self.0.free_space()
    }
}

impl File for StaleFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_at(bytes, at)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let read = self.0.read_at(buffer, at)?;
        buffer.iter_mut().step_by(50).for_each(|byte| *byte ^= 4);
        Ok(read)
    }

    fn read_past_cache(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_past_cache(buffer, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn punch(&self, at: u64, len: u64) -> io::Result<()> {
        self.0.punch(at, len)
    }
}

#[test]
fn what_is_wrong_in_memory_only_is_no_damage() {
    let (disk, model) = (Simulated::new(1), small());
    seal(&disk, 1, &model);
    let disk = Stale(disk);
    let Opened::Complete(sealed) = open(&disk, &directories(0), file(1), &file(1).to_string()).unwrap() else {
        panic!("not complete")
    };
    assert_eq!(contents(&sealed, &topics(&model)), model);
    assert_eq!(
        sealed.records(&|_, _| Kept::All).map(Result::unwrap).collect::<Vec<_>>(),
        records(&model).map(Result::unwrap).collect::<Vec<_>>()
    );
    assert!(sealed.verify().unwrap().is_none());
}
