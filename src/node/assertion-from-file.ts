import { type AssertionSource, JWT_BEARER } from '../oauth/index.ts'
import { type Clock, systemClock } from '../util/index.ts'
import { assertType, checkedAssertion, datesOf, isJwtType } from './assertion-check.ts'
import { readSecretFile } from './secret-file.ts'
import { type SecretFileOptions, secretFile, textOf } from './secret-file-rules.ts'

/** What {@link assertionFromFile} can be told. */
export interface AssertionFileOptions extends SecretFileOptions {
  /** `client_assertion_type`. Default `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`. */
  readonly type?: string | undefined
  /** Tells whether a JWT has expired. Default: the clock of whoever asks, else the system's. */
  readonly clock?: Clock | undefined
}

/**
 * Gives the assertion that somebody else keeps in a file, such as a Kubernetes service account token. The file is read on every
 * use, and is never sent half-written or expired. `permissions` is `any` by default, as such files often have mode 0644.
 *
 * @throws ConfigurationError with code `option_invalid` at once; at use with code `file_unreadable`, `file_invalid`,
 * `file_permissions`, `client_assertion_invalid` or `assertion_expired`. TransportError with code `file_unsettled`.
 */
export function assertionFromFile(path: string, options: AssertionFileOptions = {}): AssertionSource {
  const { type = JWT_BEARER, permissions = 'any', maxBytes, clock: own } = options
  const file = secretFile('assertionFromFile', path, { permissions, maxBytes })
  assertType('assertionFromFile', type)
  const textIn = (bytes: Uint8Array): string => textOf(file, bytes).trim()
  const isComplete = (bytes: Uint8Array): boolean => datesOf(textIn(bytes)) !== undefined
  return async ({ signal, clock = systemClock } = {}) => {
    const bytes = await readSecretFile(file, { signal, ...(isJwtType(type) && { isComplete }) })
    return checkedAssertion(textIn(bytes), { subject: `file "${path}"`, type, clock: own ?? clock }).assertion
  }
}
