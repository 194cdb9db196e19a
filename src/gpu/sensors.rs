//! How busy and how warm a device is, as its driver or the kernel tells.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{DeviceInfo, DeviceKind};

/// A moment's reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// 0 idle, 1000 fully busy.
    pub load_permille: u16,
    pub temperature_celsius: Option<i16>,
}

/// Where a device's readings come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sensor {
    /// `nvidia-smi` of this GPU, by its number or UUID.
    Nvidia(String),
    /// A card below /sys whose driver counts its busy time, as that of AMD does.
    Card(PathBuf),
    /// The processors of this machine.
    Processor(PathBuf),
}

impl Sensor {
    /// The sensor of `device`. Containers get the same GPU by a CDI name or a device node, and these tell which one it is; without them
    /// the first card that counts is taken. `None` for a GPU that tells nothing.
    pub fn find(device: &DeviceInfo, cdi_device: Option<&str>, nodes: &[PathBuf]) -> Option<Self> {
        Self::find_below(Path::new("/"), device, cdi_device, nodes)
    }

    fn find_below(root: &Path, device: &DeviceInfo, cdi_device: Option<&str>, nodes: &[PathBuf]) -> Option<Self> {
        if device.kind == DeviceKind::Cpu {
            return Some(Self::Processor(root.into()));
        }
        if let Some(name) = cdi_device.and_then(|name| name.strip_prefix("nvidia.com/gpu=")).filter(|name| is_plain(name)) {
            return Some(Self::Nvidia(name.into()));
        }
        let drm = root.join("sys/class/drm");
        let named = nodes.iter().filter_map(|node| Some(drm.join(node.file_name()?).join("device")));
        let mut cards: Vec<PathBuf> =
            std::fs::read_dir(&drm).into_iter().flatten().flatten().map(|entry| entry.path().join("device")).collect();
        cards.sort();
        named.chain(cards).find(|card| card.join("gpu_busy_percent").exists()).map(Self::Card)
    }

    /// Reads it. Blocks for as long as the driver takes.
    pub fn read(&self) -> Option<Reading> {
        match self {
            Self::Nvidia(gpu) => {
                let query = ["--query-gpu=utilization.gpu,temperature.gpu", "--format=csv,noheader,nounits", "-i", gpu];
                let output = Command::new("nvidia-smi").args(query).output().ok().filter(|output| output.status.success())?;
                parse_nvidia(&String::from_utf8_lossy(&output.stdout))
            }
            Self::Card(card) => {
                let percent: u16 = number(&card.join("gpu_busy_percent"))?;
                Some(Reading { load_permille: percent.min(100) * 10, temperature_celsius: hottest(&card.join("hwmon"), "temp") })
            }
            Self::Processor(root) => {
                let load: f64 = std::fs::read_to_string(root.join("proc/loadavg")).ok()?.split_whitespace().next()?.parse().ok()?;
                let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
                let load_permille = (load / cores as f64 * 1_000.0).clamp(0.0, 1_000.0) as u16;
                Some(Reading { load_permille, temperature_celsius: hottest(&root.join("sys/class/thermal"), "temp") })
            }
        }
    }
}

/// The name becomes an argument of a program.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn parse_nvidia(line: &str) -> Option<Reading> {
    let mut words = line.lines().next()?.split(',').map(str::trim);
    let percent: u16 = words.next()?.parse().ok()?;
    let temperature_celsius = words.next().and_then(|word| word.parse().ok());
    Some(Reading { load_permille: percent.min(100) * 10, temperature_celsius })
}

fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Of all files `temp` and `temp<N>_input` one folder below: the kernel counts thousandths of a degree.
fn hottest(folder: &Path, prefix: &str) -> Option<i16> {
    let inside = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    let is_reading = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name == prefix || (name.starts_with(prefix) && name.ends_with("_input"))
    };
    let readings = inside(folder).into_iter().flat_map(|zone| inside(&zone)).filter(is_reading);
    readings.filter_map(|path| number::<i64>(&path)).max().and_then(|thousandths| i16::try_from(thousandths / 1_000).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kind: DeviceKind) -> DeviceInfo {
        let text = || String::from("x");
        DeviceInfo {
            index: 0,
            name: text(),
            vendor: text(),
            platform: text(),
            driver: text(),
            kind,
            memory_bytes: 1,
            max_buffer_bytes: 1,
            compute_units: 1,
        }
    }

    #[test]
    fn cards_processors_and_drivers_are_read() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(Sensor::find_below(root.path(), &device(DeviceKind::Gpu), None, &[]), None, "a GPU that tells nothing");
        put("proc/loadavg", "9999.0 1.0 1.0 1/2 3\n");
        let processor = Sensor::find_below(root.path(), &device(DeviceKind::Cpu), None, &[]).unwrap();
        assert_eq!(processor.read(), Some(Reading { load_permille: 1_000, temperature_celsius: None }));
        put("sys/class/thermal/thermal_zone0/temp", "41500\n");
        put("sys/class/thermal/thermal_zone1/temp", "63900\n");
        assert_eq!(processor.read().unwrap().temperature_celsius, Some(63));

        put("sys/class/drm/card0/device/gpu_busy_percent", "12\n");
        put("sys/class/drm/renderD129/device/gpu_busy_percent", "87\n");
        put("sys/class/drm/renderD129/device/hwmon/hwmon3/temp1_input", "71000\n");
        let named = Sensor::find_below(root.path(), &device(DeviceKind::Gpu), None, &["/dev/dri/renderD129".into()]).unwrap();
        assert_eq!(named.read(), Some(Reading { load_permille: 870, temperature_celsius: Some(71) }));
        let first = Sensor::find_below(root.path(), &device(DeviceKind::Gpu), None, &[]).unwrap();
        assert_eq!(first.read(), Some(Reading { load_permille: 120, temperature_celsius: None }));

        let nvidia = Sensor::find_below(root.path(), &device(DeviceKind::Gpu), Some("nvidia.com/gpu=1"), &[]);
        assert_eq!(nvidia, Some(Sensor::Nvidia("1".into())));
        let odd = Sensor::find_below(root.path(), &device(DeviceKind::Gpu), Some("nvidia.com/gpu=-h"), &[]);
        assert_ne!(odd, Some(Sensor::Nvidia("-h".into())), "no option of a program");
        assert_eq!(parse_nvidia("93, 78\n"), Some(Reading { load_permille: 930, temperature_celsius: Some(78) }));
        assert_eq!(parse_nvidia("5, [N/A]\n"), Some(Reading { load_permille: 50, temperature_celsius: None }));
        assert_eq!(parse_nvidia("no devices were found\n"), None);
    }
}
