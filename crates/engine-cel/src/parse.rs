//! Tokens → expression, with the macros of the language expanded.

use std::sync::Arc;

use crate::ast::{Access, Comprehension, Expr, Flatten, Form, Kind, Macro, Operator};
use crate::functions::NAMESPACED;
use crate::token::{Literal, Token, tokens};
use crate::value::Value;

/// Longest text (cel-go: `defaultExpressionSizeCodePointLimit`).
const MAX_CODE_POINTS: usize = 100_000;

/// Deepest tree. Upstream allows 250 recursions of its parser; walks of ours recurse once per level.
const MAX_DEPTH: u16 = 100;

/// Words that cannot be names (CEL specification, `RESERVED`).
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SyntaxError {
    /// Offset in code points.
    pub at: u32,
    /// What is wrong, as cel-go says it where it is of one sort.
    pub text: String,
}

struct Parser {
    tokens: Vec<(Token, u32)>,
    next: usize,
    nesting: u16,
}

type Parsed<T = Expr> = Result<T, SyntaxError>;

/// Reads an expression.
///
/// # Errors
/// When the text is no expression, or is too long or too deep.
pub fn parse(text: &str) -> Parsed {
    let chars: Vec<char> = text.chars().take(MAX_CODE_POINTS + 1).collect();
    if chars.len() > MAX_CODE_POINTS {
        let text = format!("expression code point size exceeds limit: limit {MAX_CODE_POINTS}");
        return Err(SyntaxError { at: 0, text });
    }
    let mut parser = Parser { tokens: tokens(&chars)?, next: 0, nesting: 0 };
    let expr = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected()),
    }
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    fn at(&self) -> u32 {
        self.tokens[self.next].1
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if *found == symbol)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> SyntaxError {
        let found = match self.peek() {
            Token::Ident(name) => name.clone(),
            Token::Literal(literal) => format!("{literal:?}"),
            Token::Symbol(symbol) => (*symbol).to_owned(),
            Token::End => "<EOF>".to_owned(),
        };
        SyntaxError { at: self.at(), text: format!("Syntax error: mismatched input '{found}'") }
    }

    fn node(kind: Kind, at: u32, below: u16) -> Parsed {
        if below >= MAX_DEPTH {
            let text = format!("expression recursion limit exceeded: {MAX_DEPTH}");
            return Err(SyntaxError { at, text });
        }
        Ok(Expr { kind, at, depth: below + 1 })
    }

    fn expression(&mut self) -> Parsed {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            let text = format!("expression recursion limit exceeded: {MAX_DEPTH}");
            return Err(SyntaxError { at: self.at(), text });
        }
        let condition = self.logical("||")?;
        let at = self.at();
        let result = if self.take("?") {
            let yes = self.logical("||")?;
            self.expect(":")?;
            let no = self.expression()?;
            let depth = condition.depth.max(yes.depth).max(no.depth);
            Self::node(Kind::Conditional(Box::new([condition, yes, no])), at, depth)
        } else {
            Ok(condition)
        };
        self.nesting -= 1;
        result
    }

    /// `a || b || c` and, one level below, `a && b && c`.
    fn logical(&mut self, symbol: &'static str) -> Parsed {
        let is_or = symbol == "||";
        let below = |parser: &mut Self| if is_or { parser.logical("&&") } else { parser.relation() };
        let first = below(self)?;
        let at = self.at();
        if !self.is(symbol) {
            return Ok(first);
        }
        let mut depth = first.depth;
        let mut terms = vec![first];
        while self.take(symbol) {
            let term = below(self)?;
            depth = depth.max(term.depth);
            terms.push(term);
        }
        Self::node(if is_or { Kind::Or(terms) } else { Kind::And(terms) }, at, depth)
    }

    fn relation(&mut self) -> Parsed {
        let mut left = self.sum()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("==") => Operator::Equal,
                Token::Symbol("!=") => Operator::NotEqual,
                Token::Symbol("<") => Operator::Less,
                Token::Symbol("<=") => Operator::LessEqual,
                Token::Symbol(">") => Operator::Greater,
                Token::Symbol(">=") => Operator::GreaterEqual,
                Token::Ident(word) if word == "in" => Operator::In,
                _ => return Ok(left),
            };
            left = self.binary(operator, left, Self::sum)?;
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("+") => Operator::Add,
                Token::Symbol("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            left = self.binary(operator, left, Self::product)?;
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("*") => Operator::Multiply,
                Token::Symbol("/") => Operator::Divide,
                Token::Symbol("%") => Operator::Modulo,
                _ => return Ok(left),
            };
            left = self.binary(operator, left, Self::unary)?;
        }
    }

    fn binary(&mut self, operator: Operator, left: Expr, right: fn(&mut Self) -> Parsed) -> Parsed {
        let at = self.at();
        self.advance();
        let right = right(self)?;
        let depth = left.depth.max(right.depth);
        Self::node(Kind::Binary(operator, Box::new(left), Box::new(right)), at, depth)
    }

    /// `!a`, `-a`; doubled signs take each other out, as upstream.
    fn unary(&mut self) -> Parsed {
        let at = self.at();
        let symbol = match self.peek() {
            Token::Symbol(symbol @ ("!" | "-")) => *symbol,
            _ => return self.member(),
        };
        let mut count = 0;
        while self.take(symbol) {
            count += 1;
        }
        let odd = count % 2 == 1;
        if symbol == "-" && odd {
            let literal = match self.peek() {
                Token::Literal(Literal::Int(value)) => 0_i64.checked_sub_unsigned(*value).map(Value::Int),
                Token::Literal(Literal::Double(value)) => Some(Value::Double(-value)),
                _ => None,
            };
            if let Some(value) = literal {
                self.advance();
                let operand = Self::node(Kind::Literal(value), at, 0)?;
                return self.suffixes(operand);
            }
        }
        let operand = self.member()?;
        if !odd {
            return Ok(operand);
        }
        let depth = operand.depth;
        let operand = Box::new(operand);
        Self::node(if symbol == "!" { Kind::Not(operand) } else { Kind::Negate(operand) }, at, depth)
    }

    fn member(&mut self) -> Parsed {
        let operand = self.primary()?;
        self.suffixes(operand)
    }

    fn suffixes(&mut self, mut operand: Expr) -> Parsed {
        loop {
            let at = self.at();
            let depth = operand.depth;
            if self.take(".") {
                let access = self.access();
                let name = self.name(false)?;
                if access == Access::Plain && self.is("(") {
                    operand = self.call(Some(operand), name, at)?;
                } else {
                    operand = Self::node(Kind::Select(Box::new(operand), name, access), at, depth)?;
                }
            } else if self.take("[") {
                let access = self.access();
                let index = self.expression()?;
                self.expect("]")?;
                let depth = depth.max(index.depth);
                operand = Self::node(Kind::Index(Box::new(operand), Box::new(index), access), at, depth)?;
            } else {
                return Ok(operand);
            }
        }
    }

    fn access(&mut self) -> Access {
        if self.take("?") { Access::Optional } else { Access::Plain }
    }

    /// A name; the words of other languages are kept free at the beginning of a path.
    fn name(&mut self, is_first: bool) -> Parsed<Arc<str>> {
        let at = self.at();
        match self.advance() {
            Token::Ident(name) if matches!(name.as_str(), "true" | "false" | "null" | "in") => {
                Err(SyntaxError { at, text: format!("Syntax error: mismatched input '{name}'") })
            }
            Token::Ident(name) if is_first && RESERVED.contains(&name.as_str()) => {
                Err(SyntaxError { at, text: format!("reserved identifier: {name}") })
            }
            Token::Ident(name) => Ok(Arc::from(name)),
            _ => {
                self.next = self.next.saturating_sub(1);
                Err(self.unexpected())
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        match self.peek().clone() {
            Token::Literal(literal) => {
                self.advance();
                let value = literal.value();
                let value =
                    value.ok_or_else(|| SyntaxError { at, text: "invalid int literal".to_owned() })?;
                Self::node(Kind::Literal(value), at, 0)
            }
            Token::Symbol("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Symbol("[") => self.list(at),
            Token::Symbol("{") => self.map(at),
            Token::Symbol(".") => {
                self.advance();
                self.primary_name(at)
            }
            Token::Ident(_) => self.primary_name(at),
            _ => Err(self.unexpected()),
        }
    }

    fn primary_name(&mut self, at: u32) -> Parsed {
        let constant = match self.peek() {
            Token::Ident(word) if word == "true" => Some(Value::Bool(true)),
            Token::Ident(word) if word == "false" => Some(Value::Bool(false)),
            Token::Ident(word) if word == "null" => Some(Value::Null),
            _ => None,
        };
        if let Some(value) = constant {
            self.advance();
            return Self::node(Kind::Literal(value), at, 0);
        }
        let name = self.name(true)?;
        if self.is("(") {
            return self.call(None, name, at);
        }
        Self::node(Kind::Ident(name), at, 0)
    }

    fn list(&mut self, at: u32) -> Parsed {
        self.advance();
        let mut items = Vec::new();
        let mut depth = 0;
        while !self.is("]") {
            let access = self.access();
            let item = self.expression()?;
            depth = depth.max(item.depth);
            items.push((item, access));
            if !self.take(",") {
                break;
            }
        }
        self.expect("]")?;
        Self::node(Kind::List(items), at, depth)
    }

    fn map(&mut self, at: u32) -> Parsed {
        self.advance();
        let mut entries = Vec::new();
        let mut depth = 0;
        while !self.is("}") {
            let access = self.access();
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            depth = depth.max(key.depth).max(value.depth);
            entries.push((key, value, access));
            if !self.take(",") {
                break;
            }
        }
        self.expect("}")?;
        Self::node(Kind::Map(entries), at, depth)
    }

    fn call(&mut self, target: Option<Expr>, name: Arc<str>, at: u32) -> Parsed {
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.is(")") {
            arguments.push(self.expression()?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(")")?;
        match target {
            None if &*name == "has" && arguments.len() == 1 => has(arguments.remove(0), at),
            None => finish_call(name, arguments, Form::Global, at),
            Some(target) => {
                if let Kind::Ident(space) = &target.kind {
                    let full = format!("{space}.{name}");
                    if NAMESPACED.contains(&full.as_str()) {
                        return finish_call(Arc::from(full), arguments, Form::Global, at);
                    }
                }
                member_call(target, name, arguments, at)
            }
        }
    }
}

fn finish_call(name: Arc<str>, arguments: Vec<Expr>, form: Form, at: u32) -> Parsed {
    let depth = arguments.iter().map(|argument| argument.depth).max().unwrap_or(0);
    Parser::node(Kind::Call(name, arguments, form), at, depth)
}

fn has(argument: Expr, at: u32) -> Parsed {
    match argument.kind {
        Kind::Select(operand, field, Access::Plain) => {
            Ok(Expr { depth: argument.depth, kind: Kind::Has(operand, field), at: argument.at })
        }
        _ => Err(SyntaxError { at, text: "invalid argument to has() macro".to_owned() }),
    }
}

fn member_call(target: Expr, name: Arc<str>, mut arguments: Vec<Expr>, at: u32) -> Parsed {
    if matches!(&*name, "optMap" | "optFlatMap") && arguments.len() == 2 {
        let flatten = if &*name == "optMap" { Flatten::No } else { Flatten::Yes };
        let body = arguments.remove(1);
        let variable = variable(&arguments[0])?;
        let depth = target.depth.max(body.depth);
        return Parser::node(
            Kind::OptionalMap(Box::new(target), variable, Box::new(body), flatten),
            at,
            depth,
        );
    }
    let Some((kind, has_second, has_filter)) = macro_of(&name, &arguments) else {
        arguments.insert(0, target);
        return finish_call(name, arguments, Form::Member, at);
    };
    let body = arguments.pop().unwrap_or_else(|| target.clone());
    let filter = if has_filter { arguments.pop() } else { None };
    let second = if has_second { arguments.pop() } else { None };
    let first = arguments.pop().unwrap_or_else(|| target.clone());
    let second = second.as_ref().map(variable).transpose()?;
    let first = variable(&first)?;
    if second.as_ref() == Some(&first) {
        return Err(SyntaxError { at, text: format!("duplicate variable name: {first}") });
    }
    let depth = target.depth.max(body.depth).max(filter.as_ref().map_or(0, |filter| filter.depth));
    let comprehension = Comprehension { kind, range: target, first, second, filter, body };
    Parser::node(Kind::Comprehension(Box::new(comprehension)), at, depth)
}

/// The macro, whether it has a second variable, and whether it has a filter.
fn macro_of(name: &str, arguments: &[Expr]) -> Option<(Macro, bool, bool)> {
    Some(match (name, arguments.len()) {
        ("all", 2) => (Macro::All, false, false),
        ("all", 3) => (Macro::All, true, false),
        ("exists", 2) => (Macro::Exists, false, false),
        ("exists", 3) => (Macro::Exists, true, false),
        ("exists_one" | "existsOne", 2) => (Macro::ExistsOne, false, false),
        ("exists_one" | "existsOne", 3) => (Macro::ExistsOne, true, false),
        ("filter", 2) => (Macro::Filter, false, false),
        ("map", 2) => (Macro::Map, false, false),
        ("map", 3) => (Macro::Map, false, true),
        ("transformList", 3) => (Macro::Map, true, false),
        ("transformList", 4) => (Macro::Map, true, true),
        ("transformMap", 3) => (Macro::TransformMap, true, false),
        ("transformMap", 4) => (Macro::TransformMap, true, true),
        ("transformMapEntry", 3) => (Macro::TransformMapEntry, true, false),
        ("transformMapEntry", 4) => (Macro::TransformMapEntry, true, true),
        _ => return None,
    })
}

fn variable(expr: &Expr) -> Parsed<Arc<str>> {
    match &expr.kind {
        Kind::Ident(name) => Ok(name.clone()),
        _ => Err(SyntaxError { at: expr.at, text: "argument must be a simple name".to_owned() }),
    }
}
