//! [`Mutator`]: damaged and malicious scenario files, derived from those of the library. The same seed gives the same file.

use lab_scenario::library;

/// Text to insert into a file: YAML syntax, keys of scenario files, and input that is known to break parsers.
const TOKENS: [&str; 50] = [
    "- ",
    ": ",
    ":",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "|",
    ">",
    ">-\n",
    "&a ",
    "*a",
    "<<: ",
    "!!binary ",
    "!x ",
    "? ",
    "# ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\t",
    "\n\n",
    "~",
    "null",
    "true",
    "0x1f",
    "1e309",
    "-1",
    "99999999999999999999999",
    ".nan",
    "${",
    "${requests}",
    "${steps.baseline.sent}",
    "$${",
    "traffic: {}",
    "scenario: baseline",
    "steps: []",
    "with: { requests: 1 }",
    "expect: { status.200: \"100%\" }",
    "== 40",
    "500ms",
    "\u{feff}",
    "\u{0}",
    "\u{202e}",
    "日本",
    "\u{1f9ea}",
    "a: &a [*a]",
    "{a: {a: {a: ",
];

/// Generates files.
pub(crate) struct Mutator {
    state: u64,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// `SplitMix64`, by Steele, Lea and Flood (2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Random number below `most`, which must not be 0.
    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).expect("below a usize")
    }

    /// Returns a file with one to five changes, or sometimes a file that needs much memory or time.
    pub(crate) fn file(&mut self) -> String {
        if self.below(200) == 0 {
            return self.greedy();
        }
        let mut bytes = self.library_file();
        for _ in 0..=self.below(5) {
            self.change(&mut bytes);
        }
        // Input that is not UTF-8 never reaches the reader.
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns a file with long or many repetitions.
    fn greedy(&mut self) -> String {
        let (long, many) = (1 + self.below(100_000), 1 + self.below(1000));
        let parameter = format!("title: T\nparameters: {{ big: {{ default: '{}' }} }}\nsteps:\n", "x".repeat(long));
        let each = |line: &dyn Fn(usize) -> String| (0..many).map(line).collect::<String>();
        match self.below(6) {
            0 => format!("{parameter}  - check: {{ path: /, body: '{}' }}\n", "${big}".repeat(many)),
            1 => format!("{parameter}{}", "  - check: { path: /, body: '${big}' }\n".repeat(many)),
            2 => {
                let aliases = vec!["*a"; many].join(", ");
                format!(
                    "title: T\ndescription: &a 0.{}\ntags: [{aliases}]\nsteps: [{{ wait: 1s }}]\n",
                    "0".repeat(long)
                )
            }
            3 => {
                let uses = "  - wait: '${steps.a.duration}'\n".repeat(many);
                format!("{parameter}  - check: {{ path: /, body: '${{big}}' }}\n  - {{ name: a, wait: 1s }}\n{uses}")
            }
            4 => {
                let uses = each(&|number| format!("${{{}x{number}}}", "q".repeat(40)));
                let names = each(&|number| format!("  {}{number}:\n", "n".repeat(50)));
                format!("title: T\ndescription: '{uses}'\nparameters:\n{names}steps: [{{ wait: 1s }}]\n")
            }
            _ => {
                let name = |number| {
                    format!("  - {{ name: step-{number}, wait: '${{steps.step-{}.duration}}' }}\n", number / 2)
                };
                format!("title: T\nsteps:\n  - {{ name: step-0, wait: 1s }}\n{}", each(&|number| name(number + 1)))
            }
        }
    }

    fn library_file(&mut self) -> Vec<u8> {
        let names: Vec<&str> = library::names().collect();
        let name = names[self.below(names.len())];
        library::get(name).expect("just listed").as_bytes().to_vec()
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let to = (at + self.below(60)).min(bytes.len());
        match self.below(12) {
            0 => drop(bytes.drain(at..to)),
            1 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            2 | 3 => {
                let token = TOKENS[self.below(TOKENS.len())];
                bytes.splice(at..at, token.bytes());
            }
            4 => self.lines(bytes, |mutator, lines| {
                let (one, other) = (mutator.below(lines.len()), mutator.below(lines.len()));
                lines.swap(one, other);
            }),
            5 => self.lines(bytes, |mutator, lines| drop(lines.remove(mutator.below(lines.len())))),
            6 => self.lines(bytes, |mutator, lines| {
                let line = mutator.below(lines.len());
                let spaces = vec![b' '; mutator.below(4)];
                lines[line].splice(0..0, spaces);
            }),
            7 => self.lines(bytes, |mutator, lines| {
                let (line, times) = (mutator.below(lines.len()), mutator.below(300));
                let copies = vec![lines[line].clone(); times];
                lines.splice(line..line, copies);
            }),
            8 => {
                let other = self.library_file();
                let from = self.below(other.len());
                let piece = &other[from..(from + self.below(200)).min(other.len())];
                bytes.splice(at..to, piece.iter().copied());
            }
            9 => {
                // Replaces the text after a colon.
                let token = TOKENS[self.below(TOKENS.len())];
                if let Some(colon) = bytes[at..].windows(2).position(|pair| pair == b": ") {
                    let start = at + colon + 2;
                    let end =
                        bytes[start..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| start + end);
                    bytes.splice(start..end, token.bytes());
                }
            }
            10 => {
                let nest = ["[", "{a: ", "- ", "&a [", "? "][self.below(5)].repeat(self.below(500));
                bytes.splice(at..at, nest.bytes());
            }
            _ => {
                let byte = u8::try_from(self.below(256)).expect("a byte");
                bytes.splice(at..to.min(at + 1), [byte]);
            }
        }
    }

    fn lines(&mut self, bytes: &mut Vec<u8>, change: impl FnOnce(&mut Self, &mut Vec<Vec<u8>>)) {
        let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        change(self, &mut lines);
        *bytes = lines.join(&b'\n');
    }
}
