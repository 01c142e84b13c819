import { boundedSigner, chooseAlg, type KeyOptions, type Signer } from '../keys/index.ts'
import { ConfigurationError, TransportError } from '../token/index.ts'
import { describe, type Resolvable, systemClock, withDeadline } from '../util/index.ts'
import { openLibrary } from './pkcs11-library.ts'
import { type KeySession, openKeySession } from './pkcs11-session.ts'

/** Where a key is, what opens it, and how it is used. */
export interface Pkcs11SignerOptions extends KeyOptions {
  /** Path of the vendor's PKCS #11 library. */
  readonly library: string
  /** Label of the token; this or `tokenSerial`. */
  readonly tokenLabel?: string | undefined
  /** Serial number of the token, where labels are not unique. */
  readonly tokenSerial?: string | undefined
  /**
   * The user's PIN. A function is asked again when the token wants a new login, and has `deadlineMs` to answer. Where another
   * module of this process has logged in to the token already, the token does not look at the PIN, and a wrong one goes unnoticed.
   */
  readonly pin: Resolvable<string>
  /** Label of the private key (`CKA_LABEL`); this, `keyId`, or both. */
  readonly keyLabel?: string | undefined
  /** Id of the private key (`CKA_ID`), in hexadecimal. */
  readonly keyId?: string | undefined
  /** How long one signature may take, waiting for its turn included. Default 5000. */
  readonly deadlineMs?: number | undefined
}

/** A signer that holds a session with its token until it is closed. */
export interface Pkcs11Signer extends Signer {
  /** Ends the session when what is being signed is signed. */
  close(): Promise<void>
}

/**
 * Makes a `Signer` of an RSA or EC key that stays on a PKCS #11 token, such as an HSM or a smart card. It needs the package
 * `pkcs11js`. A session that the token loses is opened again, once for a signature. One session signs one thing at a time.
 *
 * `sign` throws TransportError with code `signer_timeout` or `signer_failed`, and ConfigurationError as here.
 *
 * @throws ConfigurationError with code `option_invalid`, `peer_missing`, `hsm_library_invalid`, `hsm_token_not_found`,
 * `hsm_pin_refused`, `hsm_key_not_found`, `key_invalid` or `secret_invalid`; TransportError with code `signer_timeout` or `signer_failed`.
 */
export async function pkcs11Signer(options: Pkcs11SignerOptions): Promise<Pkcs11Signer> {
  assertOptions(options)
  const { deadlineMs = 5000 } = options
  const library = await openLibrary(options.library)
  const session = await openKeySession(library, { ...options, deadlineMs }).catch((error) => {
    library.close()
    throw error
  })
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= session.close().then(() => library.close())
    return closing
  }
  try {
    const alg = chooseAlg(session.publicKey, options.alg)
    const signer = signerOf(session, { ...options, alg, deadlineMs })
    await withDeadline(() => session.prove(alg), { clock: systemClock, ms: deadlineMs, error: () => late(deadlineMs) })
    return Object.assign(signer, { close })
  } catch (error) {
    const closed = close()
    // A token that hangs is left behind; waiting for it would hang as well.
    if (error instanceof TransportError && error.code === 'signer_timeout') closed.catch(() => {})
    else await closed
    throw error
  }
}

function signerOf(
  session: KeySession,
  { alg, kid, deadlineMs }: Pkcs11SignerOptions & { readonly alg: string },
): Signer {
  const signer: Signer = {
    alg,
    kid,
    publicJwk: session.publicKey.publicJwk,
    sign: (input, { signal = new AbortController().signal } = {}) => session.sign({ input, alg, signal }),
  }
  return boundedSigner(signer, { deadlineMs })
}

function late(deadlineMs: number): TransportError {
  return new TransportError(`pkcs11Signer: expected a signature within ${deadlineMs} ms, got none`, {
    code: 'signer_timeout',
    retryable: true,
  })
}

const HEX = /^(?:[\da-f]{2})+$/i

function assertOptions(options: Pkcs11SignerOptions): void {
  const { library, tokenLabel, tokenSerial, keyLabel, keyId, deadlineMs } = options
  const texts = Object.entries({ library, tokenLabel, tokenSerial, keyLabel, keyId })
  for (const [name, value] of texts) {
    const isRequired = name === 'library'
    if ((typeof value === 'string' && value !== '') || (value === undefined && !isRequired)) continue
    throw invalid(`${name} to be a non-empty string, got ${describe(value)}`)
  }
  if ((tokenLabel === undefined) === (tokenSerial === undefined)) {
    throw invalid(`either tokenLabel or tokenSerial, got ${tokenLabel === undefined ? 'neither' : 'both'}`)
  }
  if (keyLabel === undefined && keyId === undefined) throw invalid('keyLabel or keyId, got neither')
  if (keyId !== undefined && !HEX.test(keyId)) throw invalid('keyId to be hexadecimal, got another text')
  if (deadlineMs !== undefined && !(typeof deadlineMs === 'number' && deadlineMs > 0)) {
    throw invalid(`deadlineMs to be a number above 0, got ${describe(deadlineMs)}`)
  }
}

function invalid(expected: string): ConfigurationError {
  return new ConfigurationError(`pkcs11Signer: expected ${expected}`, { code: 'option_invalid' })
}
