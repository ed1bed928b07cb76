//! Types before evaluation: undefined fields, unknown names, and operators and functions whose arguments cannot fit.
//!
//! It refuses only what cannot work: where a type is not known, evaluation decides.

use std::sync::Arc;

use crate::ast::{Access, Comprehension, Expr, Flatten, Form, Kind, Macro, Operator};
use crate::functions::{FUNCTIONS, type_denotation};
use crate::types::{Declarations, Type, TypeError};

type Checked = Result<Type, TypeError>;

struct Checker {
    variables: Vec<(Arc<str>, Type)>,
}

/// The type of an expression.
///
/// # Errors
/// When it cannot work for any value of the variables.
pub fn check(expr: &Expr, variables: Declarations<'_>) -> Checked {
    let variables = variables.iter().map(|(name, ty)| (Arc::from(*name), ty.clone())).collect();
    Checker { variables }.check(expr)
}

fn wrong(expr: &Expr, text: String) -> TypeError {
    TypeError { at: expr.at, text }
}

impl Checker {
    fn check(&mut self, expr: &Expr) -> Checked {
        match &expr.kind {
            Kind::Literal(value) => Ok(Type::of(value)),
            Kind::Ident(name) => self.lookup(expr, name),
            Kind::Select(operand, field, access) => {
                let operand = self.check(operand)?;
                let ty = field_type(expr, &operand, field)?;
                let wraps = *access == Access::Optional || matches!(operand, Type::Optional(_));
                Ok(if wraps { optional(ty) } else { ty })
            }
            Kind::Has(operand, field) => {
                let operand = self.check(operand)?;
                field_type(expr, &operand, field).map(|_| Type::Bool)
            }
            Kind::Index(operand, index, access) => self.index(expr, operand, index, *access),
            Kind::Call(name, arguments, form) => self.call(expr, name, arguments, *form),
            Kind::List(items) => {
                let mut types = Vec::new();
                for (item, access) in items {
                    let ty = self.check(item)?;
                    types.push(if *access == Access::Optional { unwrapped(&ty) } else { ty });
                }
                Ok(Type::List(Arc::new(joined(types))))
            }
            Kind::Map(entries) => {
                let (mut keys, mut values) = (Vec::new(), Vec::new());
                for (key, value, access) in entries {
                    keys.push(self.check(key)?);
                    let ty = self.check(value)?;
                    values.push(if *access == Access::Optional { unwrapped(&ty) } else { ty });
                }
                Ok(Type::Map(Arc::new(joined(keys)), Arc::new(joined(values))))
            }
            Kind::And(terms) => self.logical(terms, "_&&_"),
            Kind::Or(terms) => self.logical(terms, "_||_"),
            Kind::Not(operand) => self.logical(std::slice::from_ref(operand), "!_"),
            Kind::Negate(operand) => match self.check(operand)? {
                ty @ (Type::Dyn | Type::Int | Type::Double | Type::Duration) => Ok(ty),
                ty => Err(no_overload(expr, "-_", &[ty])),
            },
            Kind::Conditional(parts) => self.conditional(expr, parts),
            Kind::Binary(operator, left, right) => {
                let (left, right) = (self.check(left)?, self.check(right)?);
                binary(expr, *operator, left, right)
            }
            Kind::Comprehension(comprehension) => self.comprehension(expr, comprehension),
            Kind::OptionalMap(operand, name, body, flatten) => {
                let operand = self.check(operand)?;
                self.variables.push((name.clone(), unwrapped(&operand)));
                let body = self.check(body);
                self.variables.pop();
                Ok(if *flatten == Flatten::Yes { body? } else { optional(body?) })
            }
        }
    }

    fn lookup(&self, expr: &Expr, name: &str) -> Checked {
        let found = self.variables.iter().rev().find(|(bound, _)| **bound == *name);
        match found {
            Some((_, ty)) => Ok(ty.clone()),
            None if type_denotation(name).is_some() => Ok(Type::Dyn),
            None => Err(wrong(expr, format!("undeclared reference to '{name}' (in container '')"))),
        }
    }

    fn index(&mut self, expr: &Expr, operand: &Expr, index: &Expr, access: Access) -> Checked {
        let (operand, index) = (self.check(operand)?, self.check(index)?);
        let wraps = access == Access::Optional || matches!(operand, Type::Optional(_));
        let ty = match unwrapped(&operand) {
            Type::List(item) if matches!(index, Type::Int | Type::Uint | Type::Double | Type::Dyn) => {
                (*item).clone()
            }
            Type::Map(key, value) if key.agrees(&index) => (*value).clone(),
            Type::Dyn => Type::Dyn,
            other => return Err(no_overload(expr, "_[_]", &[other, index])),
        };
        Ok(if wraps { optional(ty) } else { ty })
    }

    fn logical(&mut self, terms: &[Expr], name: &str) -> Checked {
        for term in terms {
            let ty = self.check(term)?;
            if !ty.agrees(&Type::Bool) {
                let types = if terms.len() == 1 { vec![ty] } else { vec![ty, Type::Bool] };
                return Err(no_overload(term, name, &types));
            }
        }
        Ok(Type::Bool)
    }

    fn conditional(&mut self, expr: &Expr, parts: &[Expr; 3]) -> Checked {
        let condition = self.check(&parts[0])?;
        let (yes, no) = (self.check(&parts[1])?, self.check(&parts[2])?);
        if !condition.agrees(&Type::Bool) || !yes.agrees(&no) {
            return Err(no_overload(expr, "_?_:_", &[condition, yes, no]));
        }
        Ok(if matches!(yes, Type::Null | Type::Dyn) { no } else { yes })
    }

    fn call(&mut self, expr: &Expr, name: &str, arguments: &[Expr], form: Form) -> Checked {
        let types = arguments.iter().map(|argument| self.check(argument)).collect::<Result<Vec<_>, _>>()?;
        let named: Vec<_> = FUNCTIONS.iter().filter(|function| function.name == name).collect();
        if named.is_empty() {
            return Err(wrong(expr, format!("undeclared reference to '{name}' (in container '')")));
        }
        let fits = named.iter().find(|function| {
            function.form == form
                && function.takes.len() == types.len()
                && function.takes.iter().zip(&types).all(|(wanted, given)| wanted.fits(given))
        });
        match fits {
            Some(function) => Ok(function.gives.of(&types)),
            None => Err(no_overload(expr, name, &types)),
        }
    }

    fn comprehension(&mut self, expr: &Expr, comprehension: &Comprehension) -> Checked {
        let range = self.check(&comprehension.range)?;
        let two = comprehension.second.is_some();
        let (first, second) = match &range {
            Type::List(item) if two => (Type::Int, (**item).clone()),
            Type::List(item) => ((**item).clone(), Type::Dyn),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn => (Type::Dyn, Type::Dyn),
            other => {
                let text = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                return Err(wrong(&comprehension.range, text));
            }
        };
        let depth = self.variables.len();
        self.variables.push((comprehension.first.clone(), first.clone()));
        if let Some(name) = &comprehension.second {
            self.variables.push((name.clone(), second));
        }
        let filter = comprehension.filter.as_ref().map(|filter| self.check(filter)).transpose();
        let body = self.check(&comprehension.body);
        self.variables.truncate(depth);
        let (filter, body) = (filter?, body?);
        let wants_bool =
            matches!(comprehension.kind, Macro::All | Macro::Exists | Macro::ExistsOne | Macro::Filter);
        if filter.is_some_and(|ty| !ty.agrees(&Type::Bool)) || (wants_bool && !body.agrees(&Type::Bool)) {
            return Err(no_overload(expr, "_?_:_", &[body, Type::Dyn, Type::Dyn]));
        }
        Ok(match comprehension.kind {
            Macro::All | Macro::Exists | Macro::ExistsOne => Type::Bool,
            Macro::Filter => Type::List(Arc::new(first)),
            Macro::Map => Type::List(Arc::new(body)),
            Macro::TransformMap => Type::Map(Arc::new(first), Arc::new(body)),
            Macro::TransformMapEntry => body,
        })
    }
}

fn optional(ty: Type) -> Type {
    if matches!(ty, Type::Optional(_)) { ty } else { Type::Optional(Arc::new(ty)) }
}

fn unwrapped(ty: &Type) -> Type {
    match ty {
        Type::Optional(inner) => (**inner).clone(),
        other => other.clone(),
    }
}

/// The one type of several, or none in particular.
fn joined(types: Vec<Type>) -> Type {
    let mut types = types.into_iter();
    let Some(first) = types.next() else { return Type::Dyn };
    if types.all(|ty| ty == first) { first } else { Type::Dyn }
}

fn field_type(expr: &Expr, operand: &Type, field: &str) -> Checked {
    match unwrapped(operand) {
        Type::Object(fields) => {
            fields.get(field).cloned().ok_or_else(|| wrong(expr, format!("undefined field '{field}'")))
        }
        Type::Map(key, value) if key.agrees(&Type::String) => Ok((*value).clone()),
        Type::Dyn => Ok(Type::Dyn),
        other => Err(wrong(expr, format!("type '{other}' does not support field selection"))),
    }
}

fn no_overload(expr: &Expr, name: &str, types: &[Type]) -> TypeError {
    let types: Vec<String> = types.iter().map(ToString::to_string).collect();
    wrong(expr, format!("found no matching overload for '{name}' applied to '({})'", types.join(", ")))
}

fn binary(expr: &Expr, operator: Operator, left: Type, right: Type) -> Checked {
    let is_number = |ty: &Type| matches!(ty, Type::Int | Type::Uint | Type::Double);
    let has_dyn = left == Type::Dyn || right == Type::Dyn;
    let is_ordered =
        |ty: &Type| matches!(ty, Type::Bool | Type::String | Type::Bytes | Type::Duration | Type::Timestamp);
    let bad = |left, right| Err(no_overload(expr, &format!("_{}_", operator.text()), &[left, right]));
    match operator {
        Operator::Equal | Operator::NotEqual => {
            if left.agrees(&right) || (is_number(&left) && is_number(&right)) {
                Ok(Type::Bool)
            } else {
                bad(left, right)
            }
        }
        Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
            let good =
                has_dyn || (is_number(&left) && is_number(&right)) || (is_ordered(&left) && left == right);
            if good { Ok(Type::Bool) } else { bad(left, right) }
        }
        Operator::In => match &right {
            Type::List(item) if item.agrees(&left) || (is_number(item) && is_number(&left)) => Ok(Type::Bool),
            Type::Map(key, _) if key.agrees(&left) => Ok(Type::Bool),
            Type::Dyn => Ok(Type::Bool),
            _ => bad(left, right),
        },
        _ if has_dyn => Ok(Type::Dyn),
        Operator::Add => match (&left, &right) {
            (Type::Timestamp, Type::Duration) | (Type::Duration, Type::Timestamp) => Ok(Type::Timestamp),
            (Type::List(a), Type::List(b)) if a.agrees(b) => Ok(left),
            (a, b)
                if a == b && (is_number(a) || matches!(a, Type::String | Type::Bytes | Type::Duration)) =>
            {
                Ok(left)
            }
            _ => bad(left, right),
        },
        Operator::Subtract => match (&left, &right) {
            (Type::Timestamp, Type::Duration) => Ok(Type::Timestamp),
            (Type::Timestamp, Type::Timestamp) => Ok(Type::Duration),
            (a, b) if a == b && (is_number(a) || *a == Type::Duration) => Ok(left),
            _ => bad(left, right),
        },
        Operator::Modulo if left == right && matches!(left, Type::Int | Type::Uint) => Ok(left),
        Operator::Multiply | Operator::Divide if left == right && is_number(&left) => Ok(left),
        _ => bad(left, right),
    }
}
