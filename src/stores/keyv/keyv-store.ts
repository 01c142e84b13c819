import { type AdaptedStoreOptions, adaptedStore, type TokenStore } from '../../store/index.ts'
import { callsOf, type KeyvInstance } from './keyv-calls.ts'
import { plainStore } from './plain-store.ts'

const SUBJECT = 'keyvStore'

/**
 * A store on whatever Keyv speaks to, for Keyv 5 (from 5.5) and 6. Give it a Keyv of its own: from then on that Keyv has a
 * listener to its errors.
 *
 * Values are encrypted and bound to prefix and key, as with `encryptedStore`. What is found and cannot have been written
 * here (no text, oversized, without its mark) is deleted and counts as missing. Keyv is asked to keep a value for 24.8 days
 * at the most.
 *
 * Its methods throw StoreError with code `store_unavailable`, also where Keyv itself keeps the error from its callers.
 *
 * @throws ConfigurationError with code `option_invalid`, `option_unknown` or `encryption_key_invalid`; also where neither
 * `encryption` nor `plaintext: true` is given, or both.
 */
export function keyvStore(keyv: KeyvInstance, options: AdaptedStoreOptions): TokenStore {
  return adaptedStore(SUBJECT, options, (settings) =>
    plainStore({ ...settings, calls: callsOf(keyv, SUBJECT, settings.clock) }),
  )
}
