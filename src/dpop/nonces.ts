import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { type Awaitable, canonicalText } from '../util/index.ts'
import type { NonceKey, NonceStore } from './nonce-store.ts'

/** Nonces. */
export interface Nonces {
  current(key: NonceKey): Awaitable<string | undefined>
  known(key: NonceKey): string | undefined
  learn(key: NonceKey, header: string | undefined, isDemanded: boolean): void
}

/** Keeps nonces. */
export function createNonces(_options: { store?: NonceStore | undefined; clock: Clock; telemetry: Telemetry }): Nonces {
  const nonces = new Map<string, string>()
  const name = ({ role, origin, jkt }: NonceKey): string => canonicalText([role, origin, jkt])
  return {
    current: (key) => nonces.get(name(key)),
    known: (key) => nonces.get(name(key)),
    learn(key, header) {
      if (header !== undefined && /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(header)) nonces.set(name(key), header)
    },
  }
}
