//! Tag lists of plants that the simulator runs, as `tags.csv`.

use std::fmt::Write as _;

use super::equipment::{AREA, Row, Start, TANK};

const HEADER: &str =
    "path,type,unit,description,writable,initial,retain,eu_low,eu_high,deadband,history,stale_after_ms";

/// The plant of `hotpair demo`: four areas of four tanks, 200 live tags and what people write.
pub fn demo_tags_csv() -> String {
    plant_tags_csv(4, 4)
}

/// A `tags.csv` of so many areas with so many tanks each. `hotpair init` writes one area of two tanks.
pub fn plant_tags_csv(areas: u32, tanks_each: u32) -> String {
    let mut csv = format!("{HEADER}\n");
    for area in 1..=areas {
        for row in AREA {
            add(&mut csv, row, &format!("Plant/Area{area}"), &format!("Area {area}"));
        }
        for tank in 1..=tanks_each {
            for row in TANK {
                add(&mut csv, row, &format!("Plant/Area{area}/Tank{tank}"), &format!("Tank {area}.{tank}"));
            }
        }
    }
    csv.push_str("Plant/ShiftNote,String,,Note for the next shift,true,,,,,,,\n");
    csv
}

fn add(csv: &mut String, row: &Row, place: &str, place_name: &str) {
    let (of, initial) = match row.start {
        Start::Number(number) => ("Float64", number.to_string()),
        Start::Switch(on) => ("Bool", on.to_string()),
    };
    // A reset is a push button: it must not be pressed after a restart.
    let retain = if row.suffix == "Pump/Reset" { "false" } else { "" };
    let (low, high) = row.range.map_or_else(Default::default, |(low, high)| (low.to_string(), high.to_string()));
    let deadband = if row.deadband > 0.0 { row.deadband.to_string() } else { String::new() };
    let (suffix, unit, description, writable) = (row.suffix, row.unit, lower_first(row.description), !row.live);
    // Writing to a string cannot fail.
    let _ = writeln!(
        csv,
        "{place}/{suffix},{of},{unit},{place_name}: {description},{writable},{initial},{retain},{low},{high},{deadband},on_change,"
    );
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_plant_has_200_live_tags() {
        let csv = demo_tags_csv();
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.iter().filter(|row| &row[4] == "false").count(), 200);
        assert_eq!(rows.iter().filter(|row| &row[4] == "true").count(), 16 * 6 + 4 + 1);
        assert_eq!(plant_tags_csv(1, 2).lines().count(), 41);
    }
}
