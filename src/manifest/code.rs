//! The codes of problems: stable, never reused. Each has a page.

use std::fmt;

use super::problem::Severity;

/// Declares the codes with number, severity and title in one table.
macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal, $severity:ident, $title:literal;)*) => {
        /// The kind of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $title] $name,)* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable name, as in `TIN021`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $number,)* }
            }

            /// How bad a problem of this kind is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What a problem of this kind is, in a few words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    Syntax           = "TIN001", Error,   "the file is not YAML";
    Limit            = "TIN002", Error,   "the file goes over a limit";
    DuplicateKey     = "TIN003", Error,   "a key is given twice";
    YamlFeature      = "TIN004", Error,   "a YAML feature that manifests do not use";
    Unreadable       = "TIN005", Error,   "the file cannot be read";
    NotText          = "TIN006", Error,   "the file is not UTF-8 text";
    Empty            = "TIN007", Error,   "there is no manifest in the file";
    UnknownField     = "TIN010", Error,   "no such field";
    WrongType        = "TIN011", Error,   "the value has the wrong type";
    MissingField     = "TIN012", Error,   "a field is missing";
    NotAllowed       = "TIN013", Error,   "the value is not one of the allowed ones";
    ExactlyOne       = "TIN014", Error,   "exactly one of several fields must be given";
    Form             = "TIN015", Error,   "the text does not have the right form";
    OutOfRange       = "TIN016", Error,   "a number, a length or a count is out of range";
    NumberForm       = "TIN017", Warning, "the number is not kept as it is written";
    DuplicateName    = "TIN020", Error,   "two jobs have one name";
    NoName           = "TIN021", Error,   "the job has no name";
    Cron             = "TIN030", Error,   "the cron expression cannot be read";
    NeverFires       = "TIN031", Error,   "the schedule never fires";
    TimeZone         = "TIN032", Error,   "no such time zone";
    Duration         = "TIN033", Error,   "the duration cannot be used";
    Time             = "TIN034", Error,   "there is no such time";
    AtInThePast      = "TIN035", Warning, "the time has passed";
    TwoDayFields     = "TIN036", Warning, "both day fields of a cron expression are set";
    EmptyWindow      = "TIN037", Error,   "the window ends before it starts";
    ScheduleTest     = "TIN038", Error,   "a schedule test does not hold";
    JitterTooLong    = "TIN039", Warning, "the jitter is longer than the interval";
    TimeoutTooLong   = "TIN040", Warning, "the timeout is longer than the interval";
    NoEffect         = "TIN041", Warning, "the option has no effect here";
    UnknownStep      = "TIN050", Error,   "no such step";
    StepCycle        = "TIN051", Error,   "steps need each other in a circle";
    DuplicateStep    = "TIN052", Error,   "two steps have one id";
    TemplateSyntax   = "TIN053", Error,   "the template cannot be read";
    TemplateName     = "TIN054", Error,   "the template uses a name that does not exist";
    Secret           = "TIN055", Error,   "the reference to a secret is not well formed";
    Url              = "TIN056", Error,   "the URL cannot be used";
    VariableClash    = "TIN057", Error,   "a variable is given twice";
    TemplateInShell  = "TIN058", Error,   "a value stands where a shell would read it as code";
    TemplateUnfilled = "TIN059", Warning, "a template where none is filled in";
    PinImpossible    = "TIN060", Error,   "the pinned tier cannot do what the job needs";
    UserFacingOften  = "TIN061", Warning, "W1: user-facing more often than once a minute";
    QueueOften       = "TIN062", Warning, "W2: high frequency on a queue";
    DagOnQueue       = "TIN063", Warning, "W3: steps at high frequency on a queue";
    NeedsLedger      = "TIN064", Error,   "W4: persistent in-process needs a durable ledger";
    NoStepView       = "TIN065", Warning, "W5: steps in-process have no per-step view";
    FrequencyClash   = "TIN066", Error,   "W6: the stated frequency contradicts the schedule";
    NoTier           = "TIN067", Error,   "no configured tier can do what the job needs";
    UnusedIgnore     = "TIN070", Warning, "a suppression that suppresses nothing";
    BadIgnore        = "TIN071", Error,   "a suppression that cannot be read";
    UnknownBackend   = "TIN080", Error,   "no such backend";
    ClaimTooShort    = "TIN081", Error,   "a run may outlast its claim";
    EnvelopeTooLarge = "TIN082", Error,   "the job is too large for its backend";
    DegradeNowhere   = "TIN083", Warning, "there is no lighter tier to fall back to";
    OptionsClash     = "TIN084", Error,   "options that do not go together";
}

impl Code {
    /// The code with this name; upper or lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_sorted() {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
