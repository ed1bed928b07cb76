//! The form of an expression after parsing.

use std::sync::Arc;

use crate::value::Value;

/// An expression and where it began in the text.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: Kind,
    /// Offset in code points.
    pub at: u32,
    /// How deep the tree below is; bounded by the parser, so that walks need no bound of their own.
    pub(crate) depth: u16,
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A value.
    Literal(Value),
    /// A name.
    Ident(Arc<str>),
    /// `operand.field` or `operand.?field`.
    Select(Box<Expr>, Arc<str>, Access),
    /// `has(operand.field)`.
    Has(Box<Expr>, Arc<str>),
    /// `operand[index]` or `operand[?index]`.
    Index(Box<Expr>, Box<Expr>, Access),
    /// `name(arguments)`, with the receiver, if any, as first argument.
    Call(Arc<str>, Vec<Expr>, Form),
    /// `[a, b, ?c]`.
    List(Vec<(Expr, Access)>),
    /// `{a: b, ?c: d}`.
    Map(Vec<(Expr, Expr, Access)>),
    /// `a && b && c`.
    And(Vec<Expr>),
    /// `a || b || c`.
    Or(Vec<Expr>),
    /// `!a`.
    Not(Box<Expr>),
    /// `-a`.
    Negate(Box<Expr>),
    /// `a ? b : c`.
    Conditional(Box<[Expr; 3]>),
    /// Two operands and what is done with them.
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// A macro over the items of a list or map.
    Comprehension(Box<Comprehension>),
    /// `operand.optMap(x, body)` and `operand.optFlatMap(x, body)`.
    OptionalMap(Box<Expr>, Arc<str>, Box<Expr>, Flatten),
}

/// Whether something that is not there is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is.
    Plain,
    /// It is not: the result is an optional.
    Optional,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `f(x)`.
    Global,
    /// `x.f()`.
    Member,
}

/// Whether the body of a mapped optional gives an optional itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flatten {
    /// `optMap`.
    No,
    /// `optFlatMap`.
    Yes,
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// A macro over the items of a list or map.
#[derive(Clone, Debug)]
pub struct Comprehension {
    /// Which macro.
    pub kind: Macro,
    /// The list or map.
    pub range: Expr,
    /// The item, or the key of a map; with a second variable the index, or the key of a map.
    pub first: Arc<str>,
    /// The item or the value.
    pub second: Option<Arc<str>>,
    /// Which items count.
    pub filter: Option<Expr>,
    /// What is computed for each item.
    pub body: Expr,
}

/// Which macro.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Macro {
    /// True for all items.
    All,
    /// True for one item or more.
    Exists,
    /// True for exactly one item.
    ExistsOne,
    /// The list of the results.
    Map,
    /// The list of the items for which it is true.
    Filter,
    /// A map with the same keys (of a list: its indices).
    TransformMap,
    /// A map of the entries that the body gives.
    TransformMapEntry,
}

impl Operator {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

/// Whether an expression names a variable anywhere.
pub fn mentions(expr: &Expr, name: &str) -> bool {
    let mut found = false;
    visit(expr, &mut |expr| found |= matches!(&expr.kind, Kind::Ident(ident) if **ident == *name));
    found
}

/// Calls `see` on an expression and all below it.
fn visit(expr: &Expr, see: &mut dyn FnMut(&Expr)) {
    see(expr);
    match &expr.kind {
        Kind::Literal(_) | Kind::Ident(_) => {}
        Kind::Select(operand, ..) | Kind::Has(operand, _) | Kind::Not(operand) | Kind::Negate(operand) => {
            visit(operand, see);
        }
        Kind::Index(a, b, _) | Kind::Binary(_, a, b) | Kind::OptionalMap(a, _, b, _) => {
            visit(a, see);
            visit(b, see);
        }
        Kind::Call(_, all, _) | Kind::And(all) | Kind::Or(all) => all.iter().for_each(|e| visit(e, see)),
        Kind::List(items) => items.iter().for_each(|(item, _)| visit(item, see)),
        Kind::Map(entries) => entries.iter().for_each(|(key, value, _)| {
            visit(key, see);
            visit(value, see);
        }),
        Kind::Conditional(parts) => parts.iter().for_each(|part| visit(part, see)),
        Kind::Comprehension(comprehension) => {
            visit(&comprehension.range, see);
            comprehension.filter.iter().for_each(|filter| visit(filter, see));
            visit(&comprehension.body, see);
        }
    }
}
