import type { Handle } from 'pkcs11js'
import { ConfigurationError, TransportError } from '../token/index.ts'
import { describe, type Resolvable, resolve, systemClock, withDeadline } from '../util/index.ts'
import { ckrOf, type Pkcs11Library } from './pkcs11-library.ts'

/** What opens a token, and how long it may take to come. */
export interface Pin {
  readonly pin: Resolvable<string>
  readonly deadlineMs: number
}

/** Logs a session in to the token in a slot. */
export type Login = (at: { readonly session: Handle; readonly slot: Handle }) => Promise<void>

const PIN_REFUSED = /^CKR_PIN_/

/** Makes a login. A PIN that the token refused is not tried again: a token locks itself after a few. */
export function createLogin({ module, names, pins }: Pkcs11Library, pin: Pin): Login {
  let refusal: ConfigurationError | undefined
  return async ({ session, slot }) => {
    if (refusal !== undefined) throw refusal
    const text = await askFor(pin)
    // No await between the answer and the note of it.
    try {
      module.C_Login(session, names.CKU_USER, text)
      pins.remember(slot, text)
    } catch (error) {
      const ckr = ckrOf(error)
      if (ckr === 'CKR_USER_ALREADY_LOGGED_IN') {
        // Sessions of one process share one login, and the token does not look at a second PIN: it may be asked again.
        if (pins.contradicts(slot, text)) throw refused('another one than logged in')
        return
      }
      if (ckr === undefined || !PIN_REFUSED.test(ckr)) throw error
      pins.forget(slot)
      refusal = refused(ckr)
      throw refusal
    }
  }
}

async function askFor({ pin, deadlineMs }: Pin): Promise<string> {
  const error = (): Error =>
    new TransportError(`pkcs11Signer: expected the PIN within ${deadlineMs} ms, got none`, {
      code: 'signer_timeout',
      retryable: true,
    })
  const text: unknown = await withDeadline(() => resolve(pin), { clock: systemClock, ms: deadlineMs, error })
  if (typeof text === 'string' && text !== '') return text
  throw new ConfigurationError(`pkcs11Signer: expected pin to be a non-empty string, got ${describe(text)}`, {
    code: 'secret_invalid',
  })
}

function refused(came: string): ConfigurationError {
  return new ConfigurationError(`pkcs11Signer: expected the token to accept the PIN, got ${came}`, {
    code: 'hsm_pin_refused',
  })
}
