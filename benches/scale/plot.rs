//! Curves as SVG: both axes logarithmic, a legend, nothing else.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;
const COLOURS: [&str; 5] = ["#1b6ca8", "#c8553d", "#2d8659", "#7a4fa3", "#8a6d1b"];

pub struct Curve {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// One plot; values of zero or less have no place on a logarithmic axis and are left out.
pub fn svg(title: &str, x_label: &str, y_label: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points).filter(|(x, y)| *x > 0.0 && *y > 0.0);
    let decade = |value: f64, round: fn(f64) -> f64| round(value.log10());
    let low = |pick: fn(&(f64, f64)) -> f64| points().map(|point| decade(pick(point), f64::floor)).fold(f64::INFINITY, f64::min);
    let high = |pick: fn(&(f64, f64)) -> f64| points().map(|point| decade(pick(point), f64::ceil)).fold(f64::NEG_INFINITY, f64::max);
    let (x0, x1, y0, y1) = (low(|point| point.0), high(|point| point.0), low(|point| point.1), high(|point| point.1));
    let x_of = |x: f64| LEFT + (x.log10() - x0) / (x1 - x0).max(1.0) * (WIDTH - LEFT - RIGHT);
    let y_of = |y: f64| HEIGHT - BOTTOM - (y.log10() - y0) / (y1 - y0).max(1.0) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n"
    );
    for power in x0 as i32..=x1 as i32 {
        let (value, x) = (10f64.powi(power), x_of(10f64.powi(power)));
        let (top, bottom) = (TOP, HEIGHT - BOTTOM);
        writeln!(svg, "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>").unwrap();
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", bottom + 18.0, number(value)).unwrap();
    }
    for power in y0 as i32..=y1 as i32 {
        let (value, y) = (10f64.powi(power), y_of(10f64.powi(power)));
        writeln!(svg, "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>", WIDTH - RIGHT).unwrap();
        writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", LEFT - 6.0, y + 4.0, number(value)).unwrap();
    }
    for (position, curve) in curves.iter().enumerate() {
        let colour = COLOURS[position % COLOURS.len()];
        let drawn = curve.points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0);
        let path: Vec<String> = drawn.map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
        writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join(" ")).unwrap();
        let y = TOP + 14.0 + 16.0 * position as f64;
        writeln!(svg, "<rect x=\"{}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>", LEFT + 10.0, y - 9.0).unwrap();
        writeln!(svg, "<text x=\"{}\" y=\"{y}\">{}</text>", LEFT + 26.0, curve.name).unwrap();
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    writeln!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{x_label}</text>", HEIGHT - 18.0).unwrap();
    let half = (TOP + HEIGHT - BOTTOM) / 2.0;
    writeln!(svg, "<text x=\"16\" y=\"{half}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {half})\">{y_label}</text>\n</svg>")
        .unwrap();
    svg
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1e9 => format!("{}G", value / 1e9),
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => format!("{value}"),
    }
}
