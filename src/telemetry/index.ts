export {
  type CookieFault,
  type EntryFault,
  errorName,
  harmless,
  noTelemetry,
  type Operation,
  type Outcome,
  observe,
  type StoreName,
  type Telemetry,
  type TelemetryEvent,
} from './telemetry.ts'
