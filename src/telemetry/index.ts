export {
  errorName,
  harmless,
  noTelemetry,
  type Operation,
  type Outcome,
  observe,
  type Telemetry,
  type TelemetryEvent,
} from './telemetry.ts'
