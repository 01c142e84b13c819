export {
  harmless,
  noTelemetry,
  type Operation,
  type Outcome,
  type Telemetry,
  type TelemetryEvent,
} from './telemetry.ts'
