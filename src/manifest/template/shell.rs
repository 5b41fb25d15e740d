//! Where in a shell's line one stands: in quotes, in a comment, at a place for a word.
//!
//! Reads as much of the language as it takes to tell whether a quoted word can stand somewhere. What
//! shells read differently, or what would take a whole parser, is [`Place::Unclear`] from there on.
//! Pure; `line` asks.

use std::fmt;

/// Where something stands that is no place for a quoted word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// `'…'` or `$'…'`
    SingleQuotes,
    /// `"…"`
    DoubleQuotes,
    /// `` `…` ``
    Backticks,
    /// `# …`
    Comment,
    /// The lines after `<<EOF`, or its word.
    Document,
    /// `$((…))`
    Arithmetic,
    /// `${…}`
    Braces,
    /// Behind a backslash.
    Backslash,
    /// Behind a `$`.
    Dollar,
    /// Behind something that shells read in different ways.
    Unclear,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SingleQuotes => "inside single quotes",
            Self::DoubleQuotes => "inside double quotes",
            Self::Backticks => "inside backticks",
            Self::Comment => "inside a comment",
            Self::Document => "inside a here-document",
            Self::Arithmetic => "inside `$((...))`",
            Self::Braces => "inside `${...}`",
            Self::Backslash => "behind a backslash",
            Self::Dollar => "behind a `$`",
            Self::Unclear => "behind something that shells read in different ways",
        })
    }
}

/// How far a line is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shell {
    /// What is open, from the outside in. Nothing: the line itself.
    frames: Vec<Frame>,
    /// What is begun, and not known yet.
    token: Token,
    /// Whether a `#` begins a comment here.
    begins_word: bool,
    /// How much of the word `case` the word is so far; none when it is another.
    case: Option<u8>,
    /// Here-documents that begin in the next line.
    documents: Vec<Document>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Frame {
    Single,
    Ansi,
    Double,
    Backtick,
    Comment,
    /// `$(`, with as many parentheses open in it.
    Command(u32),
    /// `$((`, with as many parentheses open in it.
    Arithmetic(u32),
    Brace,
    /// The lines of here-documents, with the last one as far as it is read.
    Documents(Vec<Document>, String),
    Unclear,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    None,
    Backslash,
    Dollar,
    DollarParen,
    Paren,
    /// A parenthesis right behind a word.
    WordParen,
    /// The first `)` of `))`.
    ArithmeticEnd,
    Less,
    LessLess,
    /// The word after `<<`.
    Delimiter(Document, Quote),
}

/// A here-document, with its delimiter as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Document {
    delimiter: String,
    /// `<<-`: tabs before the delimiter do not count.
    strips: bool,
    /// The delimiter has quotes: nothing in the document is special.
    is_quoted: bool,
}

/// What a delimiter's next character stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Quote {
    None,
    In(char),
    Backslash,
}

impl Shell {
    /// The beginning of a line.
    pub(super) fn new() -> Self {
        Self {
            frames: Vec::new(),
            token: Token::None,
            begins_word: true,
            case: Some(0),
            documents: Vec::new(),
        }
    }

    /// A place of which nothing is known.
    pub(super) fn unclear() -> Self {
        Self { frames: vec![Frame::Unclear], ..Self::new() }
    }

    /// Why a quoted word cannot stand here; none when it can.
    pub(super) fn refusal(&self) -> Option<Place> {
        match self.token {
            Token::Backslash => return Some(Place::Backslash),
            Token::Dollar => return Some(Place::Dollar),
            Token::LessLess | Token::Delimiter(..) => return Some(Place::Document),
            Token::ArithmeticEnd | Token::WordParen => return Some(Place::Unclear),
            Token::DollarParen if !self.documents.is_empty() => return Some(Place::Unclear),
            Token::DollarParen => return None,
            Token::None | Token::Paren | Token::Less => {}
        }
        // What a command inside of arithmetic or braces prints is read as a part of these.
        let read_again = |frame: &&Frame| matches!(frame, Frame::Arithmetic(_) | Frame::Brace);
        Some(match self.frames.iter().find(read_again).or(self.frames.last()) {
            None | Some(Frame::Command(_)) => return None,
            Some(Frame::Single | Frame::Ansi) => Place::SingleQuotes,
            Some(Frame::Double) => Place::DoubleQuotes,
            Some(Frame::Backtick) => Place::Backticks,
            Some(Frame::Comment) => Place::Comment,
            Some(Frame::Arithmetic(_)) => Place::Arithmetic,
            Some(Frame::Brace) => Place::Braces,
            Some(Frame::Documents(..)) => Place::Document,
            Some(Frame::Unclear) => Place::Unclear,
        })
    }

    /// Takes in a value that is a quoted word, or a part of one.
    pub(super) fn value(&mut self) {
        if std::mem::replace(&mut self.token, Token::None) == Token::DollarParen {
            self.substitution();
        }
        self.in_word();
    }

    /// Takes in text.
    pub(super) fn text(&mut self, text: &str) {
        text.chars().for_each(|c| self.push(c));
    }

    fn push(&mut self, c: char) {
        match std::mem::replace(&mut self.token, Token::None) {
            // A line that is continued goes on as it was.
            Token::Backslash if c == '\n' => {}
            Token::Backslash if c == '\'' && self.frames.last() == Some(&Frame::Ansi) => self.lose(),
            Token::Backslash => self.in_word(),
            Token::Dollar => self.dollar(c),
            Token::DollarParen if c == '(' => self.frames.push(Frame::Arithmetic(0)),
            // What comes in the next line may be the other parenthesis.
            Token::DollarParen if c == '\\' => self.lose(),
            Token::DollarParen => {
                self.substitution();
                self.plain(c);
            }
            // `((` is arithmetic for some shells, and two subshells for others.
            Token::Paren if matches!(c, '(' | '\\') => self.lose(),
            Token::None | Token::Paren => self.plain(c),
            Token::WordParen if c == ')' => self.begin_word(),
            Token::ArithmeticEnd if c == ')' => {
                self.frames.pop();
                self.in_word();
            }
            Token::WordParen | Token::ArithmeticEnd => self.lose(),
            Token::Less => match c {
                '<' => self.token = Token::LessLess,
                '&' | '>' => self.begin_word(),
                '\\' => self.lose(),
                c => self.plain(c),
            },
            Token::LessLess if c == '<' => self.begin_word(),
            Token::LessLess => {
                let document = Document { delimiter: String::new(), strips: c == '-', is_quoted: false };
                self.token = Token::Delimiter(document, Quote::None);
                if c != '-' {
                    self.push(c);
                }
            }
            Token::Delimiter(document, quote) => self.delimiter(document, quote, c),
        }
    }

    fn dollar(&mut self, c: char) {
        match (c, self.frames.last()) {
            ('(', _) => self.token = Token::DollarParen,
            ('{', _) => self.frames.push(Frame::Brace),
            ('\'', None | Some(Frame::Command(_))) => self.frames.push(Frame::Ansi),
            // Shells do not agree on `$'` in braces, nor on `$[`; a line that is continued here is rare.
            ('\'', Some(Frame::Brace)) | ('[' | '\\', _) => self.lose(),
            ('#' | '$' | '?' | '*' | '@' | '!' | '-' | '0'..='9', _) => self.in_word(),
            (c, _) => {
                self.in_word();
                self.plain(c);
            }
        }
    }

    /// Reads a character that nothing is begun before.
    fn plain(&mut self, c: char) {
        match self.frames.last_mut() {
            None | Some(Frame::Command(_)) => self.command(c),
            Some(Frame::Single | Frame::Ansi) if c == '\'' => self.close(),
            Some(Frame::Ansi) if c == '\\' => self.token = Token::Backslash,
            Some(Frame::Single | Frame::Ansi | Frame::Unclear) => {}
            Some(Frame::Backtick) => match c {
                '`' => self.close(),
                '\\' => self.token = Token::Backslash,
                _ => {}
            },
            Some(Frame::Comment) => {
                if c == '\n' {
                    self.frames.pop();
                    self.command(c);
                }
            }
            Some(Frame::Double) => match c {
                '"' => self.close(),
                c => self.expansion(c),
            },
            Some(Frame::Brace) => match c {
                '}' => self.close(),
                '"' => self.frames.push(Frame::Double),
                '\'' if self.frames.contains(&Frame::Double) => self.lose(),
                '\'' => self.frames.push(Frame::Single),
                c => self.expansion(c),
            },
            Some(Frame::Arithmetic(parens)) => match c {
                '(' => *parens += 1,
                ')' if *parens > 0 => *parens -= 1,
                ')' => self.token = Token::ArithmeticEnd,
                '"' => self.frames.push(Frame::Double),
                '\'' => self.lose(),
                c => self.expansion(c),
            },
            Some(Frame::Documents(documents, line)) => {
                if c != '\n' {
                    line.push(c);
                    return;
                }
                let line = std::mem::take(line);
                let Some(document) = documents.first() else { return self.close_documents() };
                if document.is_end(&line) {
                    documents.remove(0);
                    if documents.is_empty() {
                        self.close_documents();
                    }
                } else if !document.is_quoted && (line.ends_with('\\') || leaves_open(&line)) {
                    // The next line belongs to this one, for some shells also when it is the delimiter.
                    self.lose();
                }
            }
        }
    }

    /// Reads a character where words stand.
    fn command(&mut self, c: char) {
        match c {
            '\'' => self.open(Frame::Single),
            '"' => self.open(Frame::Double),
            '#' if self.begins_word => self.frames.push(Frame::Comment),
            // A line that ends in it: here-documents begin behind it, for some shells.
            '(' if !self.documents.is_empty() => self.lose(),
            // A function, or what only some shells know: a list, a pattern.
            '(' if !self.begins_word => self.token = Token::WordParen,
            '(' => {
                self.end_word();
                if let Some(Frame::Command(parens)) = self.frames.last_mut() {
                    *parens += 1;
                }
                self.token = Token::Paren;
            }
            ')' => {
                self.end_word();
                match self.frames.last_mut() {
                    Some(Frame::Command(0)) if self.documents.is_empty() => self.close(),
                    // Its here-document would begin behind it.
                    Some(Frame::Command(0)) => self.lose(),
                    Some(Frame::Command(parens)) => *parens -= 1,
                    _ => {}
                }
            }
            '\n' => {
                self.end_word();
                if !self.documents.is_empty() {
                    let documents = std::mem::take(&mut self.documents);
                    self.frames.push(Frame::Documents(documents, String::new()));
                }
            }
            '<' => {
                self.end_word();
                self.token = Token::Less;
            }
            ' ' | '\t' | ';' | '&' | '|' | '>' => self.end_word(),
            '\\' | '$' | '`' => self.expansion(c),
            c => {
                let letter = self.case.and_then(|count| "case".chars().nth(usize::from(count)));
                self.case = if letter == Some(c) { self.case.map(|count| count + 1) } else { None };
                self.begins_word = false;
            }
        }
    }

    /// Reads a character that is special in double quotes as well.
    fn expansion(&mut self, c: char) {
        match c {
            '\\' => self.token = Token::Backslash,
            '$' => self.token = Token::Dollar,
            '`' => self.open(Frame::Backtick),
            '\n' if !self.documents.is_empty() && self.frames.last() != Some(&Frame::Double) => self.lose(),
            _ => {}
        }
    }

    /// Begins what stands in `$(`.
    fn substitution(&mut self) {
        self.frames.push(Frame::Command(0));
        self.begin_word();
        // Where a line ends in it, the documents begin behind it.
        if !self.documents.is_empty() {
            self.lose();
        }
    }

    fn delimiter(&mut self, mut document: Document, quote: Quote, c: char) {
        let next = match (quote, c) {
            (Quote::In(quote), c) if c == quote => Quote::None,
            (Quote::Backslash, '\n') | (Quote::In('"'), '\\' | '$' | '`') | (Quote::None, '$' | '`') => {
                return self.lose();
            }
            (Quote::None, '\'' | '"') => {
                document.is_quoted = true;
                Quote::In(c)
            }
            (Quote::None, '\\') => {
                document.is_quoted = true;
                Quote::Backslash
            }
            (Quote::None, ' ' | '\t') if document.delimiter.is_empty() && !document.is_quoted => Quote::None,
            (Quote::None, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')') => {
                if document.delimiter.is_empty() && !document.is_quoted {
                    return self.lose();
                }
                self.documents.push(document);
                self.begin_word();
                return self.plain(c);
            }
            (quote, c) => {
                document.delimiter.push(c);
                if quote == Quote::Backslash { Quote::None } else { quote }
            }
        };
        self.token = Token::Delimiter(document, next);
    }

    fn open(&mut self, frame: Frame) {
        self.in_word();
        self.frames.push(frame);
    }

    /// Ends what is a part of a word.
    fn close(&mut self) {
        self.frames.pop();
        self.in_word();
    }

    fn close_documents(&mut self) {
        self.frames.pop();
        self.begin_word();
    }

    fn in_word(&mut self) {
        (self.begins_word, self.case) = (false, None);
    }

    fn begin_word(&mut self) {
        (self.begins_word, self.case) = (true, Some(0));
    }

    /// Ends a word. The patterns of `case` have parentheses that nothing opens.
    fn end_word(&mut self) {
        if self.case == Some(4) && matches!(self.frames.last(), Some(Frame::Command(_))) {
            self.lose();
        }
        self.begin_word();
    }

    fn lose(&mut self) {
        *self = Self::unclear();
    }
}

/// Whether a substitution that a line begins may go on in the next one.
fn leaves_open(line: &str) -> bool {
    let count = |sign: char| line.matches(sign).count();
    line.contains("$(") && count('(') > count(')')
        || line.contains("${") && count('{') > count('}')
        || count('`') % 2 == 1
}

impl Document {
    fn is_end(&self, line: &str) -> bool {
        let line = if self.strips { line.trim_start_matches('\t') } else { line };
        line == self.delimiter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each `@` is a value; `ok` when each of them can stand there, else where the first one stands
    /// that cannot.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let mut shell = Shell::new();
        for (count, text) in line.split('@').enumerate() {
            if count > 0 {
                if let Some(place) = shell.refusal() {
                    assert_eq!(place.to_string(), expected, "{line}");
                    return;
                }
                shell.value();
            }
            shell.text(text);
        }
        assert_eq!("ok", expected, "{line}");
    }

    #[test]
    #[rustfmt::skip]
    fn a_word_can_stand_where_words_stand() {
        check("@",                                   "ok");
        check("echo @ a@b @@ --x=@ A=@ >@ <@ 2>&@",  "ok");
        check("echo 'a'@\"b\"@",                     "ok");
        check("echo $(cat @) \"$(cat @)\"",          "ok");
        check("echo \"a $(b \"c $(d @)\" @) e\" @",  "ok");
        check("echo $(@ x) $(@)",                    "ok");
        check("(cd @; ls) && { echo @; }",           "ok");
        check("f() { echo @; }",                     "ok");
        check("echo a#b @; echo @#c @",              "ok");
        check("# it's\necho @",                      "ok");
        check("echo a # it's\n echo @",              "ok");
        check("echo ${#x} ${x%'#'} ${x#y} $# @",     "ok");
        check("echo \"${x:-a}\" \"$x\" \"$#\" @",    "ok");
        check("echo $((1 + (2 * 3))) @",             "ok");
        check("echo `date` @",                       "ok");
        check("case @ in @) echo @;; esac; echo @",  "ok");
        check("cat <<EOF\nit's\nEOF\necho @",        "ok");
        check("cat <<'EOF' >@\na\\\nEOF\necho @",    "ok");
        check("cat <<E\n$(date) `b`\nE\necho @", "ok");
        check("cat <<-E <<F\n a\n\tE\nb\nF\necho @", "ok");
        check("cat <<< @; echo $(cat <<E\nx\nE\n) @", "ok");
        check("echo a\\\nb \\' @",                   "ok");
        check("echo \\# @ \"\\\"\" @",               "ok");
        check("echo $'a\\n' @; echo $x@",            "ok");
        check("diff <(a @) <(b @)",                  "ok");
        check("a=$(b) # '\nc @",                     "ok");
    }

    #[test]
    #[rustfmt::skip]
    fn a_word_cannot_stand_elsewhere() {
        check("echo '@'",                "inside single quotes");
        check("echo $'@'",               "inside single quotes");
        check("echo \"@\"",              "inside double quotes");
        check("echo \"$(a) @\"",         "inside double quotes");
        check("echo \"$(a '@')\"",       "inside single quotes");
        check("echo \"$(a)$x'@",         "inside double quotes");
        check("echo `a @`",              "inside backticks");
        check("echo \"`a @`\"",          "inside backticks");
        check("echo `a \\` @`",          "inside backticks");
        check("echo # @",                "inside a comment");
        check("#@",                      "inside a comment");
        check("a;#@",                    "inside a comment");
        check("(a)#@",                   "inside a comment");
        check("echo $(a #) @\n)",        "inside a comment");
        check("cat <<E\n@",              "inside a here-document");
        check("cat <<@",                 "inside a here-document");
        check("cat <<- 'a@",             "inside a here-document");
        check("cat <<E\nE \n E\n@",      "inside a here-document");
        check("echo $((1 + @))",         "inside `$((...))`");
        check("echo $(((1) + @))",       "inside `$((...))`");
        check("echo $(($(echo @) + 1))", "inside `$((...))`");
        check("echo ${x:-@}",            "inside `${...}`");
        check("echo \"${x:-@}\"",        "inside `${...}`");
        check("echo \\@",                "behind a backslash");
        check("echo \"\\@",              "behind a backslash");
        check("echo $@",                 "behind a `$`");
        check("echo \"a$@",              "behind a `$`");
    }

    #[test]
    #[rustfmt::skip]
    fn what_shells_read_differently_is_unclear_from_there_on() {
        let unclear = "behind something that shells read in different ways";
        check("((1)); echo @",                    unclear);
        check("echo $((a) | b) @",                unclear);
        check("a=(@",                             unclear);
        check("a=(1) @",                          unclear);
        check("echo $[1] @",                      unclear);
        check("echo $'a\\'b' @",                  unclear);
        check("echo \"${x:-'}'}\" @",             unclear);
        check("echo $(case a in a) b;; esac) @",  unclear);
        check("echo $(ca\\\nse a in a) b;; esac) @", unclear);
        check("cat <<E\na\\\nE\n@",               unclear);
        check("cat <<$x\n@",                      unclear);
        check("echo $(cat <<E)\nE\n@",            unclear);
        check("cat <<E $(echo a\nE\n)\n@\nE",      unclear);
        check("cat <<E $(@",                      unclear);
        check("cat <<E <(echo a\nE\n)\n@\nE",      unclear);
        check("cat <<E\n$(cat <<F\nE\n@",         unclear);
        check("cat <<E\n`a\nE\n@",                unclear);
        check("echo $(\\\n(1 + @))",              unclear);
        check("echo $(('1')) @",                  unclear);
    }
}
