import { observe, type Telemetry } from '../telemetry/index.ts'
import type { TokenSource } from '../token/index.ts'
import type { SlotOptions } from './slot-ask.ts'

/** Reports every call of another source to the telemetry seam, as `token.get`; a slot behind it tells where the token came from. */
export function observedSource(inner: TokenSource, telemetry: Telemetry, client: string): TokenSource {
  return {
    getToken: (options) =>
      observe(telemetry, { name: 'token.get', client }, (outcome) => {
        const asked: SlotOptions = { ...options, outcome }
        return inner.getToken(asked)
      }),
  }
}
