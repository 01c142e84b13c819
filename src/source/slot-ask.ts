import type { Outcome } from '../telemetry/index.ts'
import type { AccessToken, GetTokenOptions } from '../token/index.ts'
import type { FlightKind, Passenger } from './flight.ts'

/** What a slot is told beside what every source is told. */
export interface SlotOptions extends GetTokenOptions {
  /** Told where the token came from. */
  readonly outcome?: Outcome | undefined
}

/** How one caller waits, and what proves the client if the caller brought that along. */
export interface Ask extends Passenger {
  readonly proof: object | undefined
}

/** What one caller has in any case. */
export interface Held {
  readonly held: Promise<AccessToken>
  readonly now: number
}

/** What a flight is started for, and what keeps it from a server. */
export interface Start {
  readonly kind?: FlightKind
  readonly pausedBy?: unknown
}
