//! Alarms of the plants that the simulator runs, as `alarms.csv`: what an integrator would put on them.
//!
//! One alarm for each thing that an operator has to do something about. Limits leave room for what is usual: a tank's
//! level rests within some percent of where it shall be, a leak makes it fall below `Low` within two minutes, a pump that
//! tripped lets it rise through `High` to `High high`, where the interlock closes the inlet valve. With a leak besides the interlock opens and closes it in turn: dead-band
//! and delay let that be one alarm.

use std::fmt::Write as _;

const HEADER: &str = "tag,name,kind,limit,inclusive,deadband,period_ms,active_delay_ms,resume_delay_ms,priority,ack_mode,\
                      description";

/// The alarms of a tank, below `…/Tank1`.
#[rustfmt::skip]
const TANK: &[&str] = &[
    "Level,High high,H2,92,true,5,,,2000,Critical,Manual,level is close to overflow",
    "Level,High,H,75,true,2,,2000,2000,Medium,Manual,level is high",
    "Level,Low,L,35,true,2,,2000,2000,Medium,Manual,level is low",
    "Level,Low low,L2,15,true,2,,,2000,High,Manual,the heater is nearly dry",
    "Temperature,Hot,H,75,,1,,2000,2000,High,Manual,content is hot",
    "Temperature,Changing fast,RateOfChange,2,,0.5,10000,,,Low,Automatic,temperature changes by more than 2.4 °C in ten seconds",
    "Pump/Tripped,Tripped,FalseToTrue,,,,,,,High,ManualWithComment,the pump tripped: say why before it is reset",
    "Pump/Current,Overload,H,20,,0.5,,5000,2000,Medium,Manual,motor current of the pump is high",
    "InletValve/Position,Closed,L,1,true,1,,1000,60000,Medium,Automatic,the inlet valve is closed",
    "Heater/Enabled,Heater off,Equivalent,false,,,,5000,,Low,Automatic,the heater is switched off",
    "LeakDetected,Leak,FalseToTrue,,,,,,,Critical,Manual,liquid in the drip tray",
];

/// The alarms of an area, below `…/Area1`.
#[rustfmt::skip]
const AREA: &[&str] = &[
    "Supply/Pressure,High,H,450,,5,,3000,3000,Medium,Manual,pressure of the supply header is high",
    "Supply/Pressure,Low,L,{low},,4,,3000,3000,Medium,Manual,pressure of the supply header is low",
    "Supply/Pressure,Low low,L2,320,,5,,,3000,High,Manual,the supply header is nearly without pressure",
    "Supply/Pressure,Changing fast,RateOfChange,5,,1,1000,,,Low,Automatic,pressure of the supply header changes by more than 35 kPa in a second",
];

/// Below the swing of the header …
const LOW_KPA: &str = "365";
/// … and within it: the first area lies at the end of the supply line and is watched more closely.
const LOW_OF_FIRST_KPA: &str = "380";

/// Alarms on the plant of `hotpair demo`.
pub fn demo_alarms_csv() -> String {
    plant_alarms_csv(4, 4)
}

/// An `alarms.csv` for a plant of so many areas with so many tanks each: see [`super::plant_tags_csv`].
pub fn plant_alarms_csv(areas: u32, tanks_each: u32) -> String {
    let mut csv = format!("{HEADER}\n");
    for area in 1..=areas {
        let low = if area == 1 { LOW_OF_FIRST_KPA } else { LOW_KPA };
        for row in AREA {
            add(&mut csv, &row.replace("{low}", low), &format!("Plant/Area{area}"), &format!("Area {area}"));
        }
        for tank in 1..=tanks_each {
            for row in TANK {
                add(&mut csv, row, &format!("Plant/Area{area}/Tank{tank}"), &format!("Tank {area}.{tank}"));
            }
        }
    }
    csv
}

fn add(csv: &mut String, row: &str, place: &str, place_name: &str) {
    let (cells, description) = row.rsplit_once(',').unwrap_or((row, ""));
    // Writing to a string cannot fail.
    let _ = writeln!(csv, "{place}/{cells},{place_name}: {description}");
}
