import { observe, type Telemetry } from '../telemetry/index.ts'
import type { TokenSource } from '../token/index.ts'

/** Reports every call of another source to the telemetry seam, as `token.get`. */
export function observedSource(inner: TokenSource, telemetry: Telemetry, client: string): TokenSource {
  return {
    getToken: (options) => observe(telemetry, { name: 'token.get', client }, () => inner.getToken(options)),
  }
}
