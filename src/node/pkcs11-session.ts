import { isDeepStrictEqual } from 'node:util'
import type { Handle } from 'pkcs11js'
import { ConfigurationError, isEvertokenError, TransportError } from '../token/index.ts'
import { createGate } from '../util/index.ts'
import {
  findPrivateKey,
  keyInvalid,
  keyNotFound,
  type Pkcs11KeyName,
  type Pkcs11PublicKey,
  readPublicKey,
} from './pkcs11-key.ts'
import { ckrOf, findSlot, type Pkcs11Library, tolerate } from './pkcs11-library.ts'
import { createLogin, type Login, type Pin } from './pkcs11-login.ts'
import { type IsSignature, type SigningInput, signatureCheck, signWith } from './pkcs11-signature.ts'

/** Where a key is, and what opens it. */
export interface KeyOnToken extends Pkcs11KeyName, Pin {
  readonly tokenLabel?: string | undefined
  readonly tokenSerial?: string | undefined
}

/** What is signed, until nobody wants it any more. */
export interface Signing extends SigningInput {
  readonly signal: AbortSignal
}

/** One session with one key, logged in, opened again when the token has lost it. */
export interface KeySession {
  readonly publicKey: Pkcs11PublicKey
  /** Signs once, or throws that the key is not the one of the public part. */
  prove(alg: string): Promise<void>
  /** One signature at a time: a session has room for one operation. Each is verified before anybody gets it. */
  sign(signing: Signing): Promise<Uint8Array>
  close(): Promise<void>
}

interface Opened {
  readonly handle: Handle
  readonly key: Handle
  readonly publicKey: Pkcs11PublicKey
  /** Handles are numbers that begin anew with the library: those of an earlier start may be somebody else's. */
  readonly start: number
}

/** What a session, its login or its key answers when the token was reset, pulled out or logged out by somebody else. */
const LOST: ReadonlySet<string | undefined> = new Set([
  'CKR_CRYPTOKI_NOT_INITIALIZED',
  'CKR_DEVICE_REMOVED',
  'CKR_KEY_HANDLE_INVALID',
  'CKR_OBJECT_HANDLE_INVALID',
  'CKR_OPERATION_NOT_INITIALIZED',
  'CKR_SESSION_CLOSED',
  'CKR_SESSION_HANDLE_INVALID',
  'CKR_TOKEN_NOT_PRESENT',
  'CKR_USER_NOT_LOGGED_IN',
])

/** What a token answers for ever, when a key is not made for this. */
const UNFIT: ReadonlySet<string | undefined> = new Set([
  'CKR_KEY_FUNCTION_NOT_PERMITTED',
  'CKR_KEY_SIZE_RANGE',
  'CKR_KEY_TYPE_INCONSISTENT',
  'CKR_MECHANISM_INVALID',
  'CKR_MECHANISM_PARAM_INVALID',
])

/** What a handle that has signed before answers when it is somebody else's by now. */
const FOREIGN: ReadonlySet<string | undefined> = new Set([
  ...UNFIT,
  'CKR_DATA_LEN_RANGE',
  'CKR_GENERAL_ERROR',
  'CKR_OPERATION_ACTIVE',
])

/** Opens the session, or throws what keeps it closed. */
export async function openKeySession(library: Pkcs11Library, where: KeyOnToken): Promise<KeySession> {
  const login = createLogin(library, where)
  const reopen = (): Promise<Opened> => open(library, where, login)
  return new VerifyingSession(library, await reopen(), reopen)
}

class VerifyingSession implements KeySession {
  readonly publicKey: Pkcs11PublicKey
  readonly #library: Pkcs11Library
  readonly #reopen: () => Promise<Opened>
  readonly #isSignature: IsSignature
  readonly #gate = createGate(1)
  #opened: Opened | undefined
  #isClosed = false

  constructor(library: Pkcs11Library, opened: Opened, reopen: () => Promise<Opened>) {
    this.publicKey = opened.publicKey
    this.#isSignature = checkOrClose(library, opened)
    this.#library = library
    this.#opened = opened
    this.#reopen = reopen
  }

  async prove(alg: string): Promise<void> {
    const signing = { input: new Uint8Array(32), alg, signal: NEVER }
    await this.#inTurn(signing, async () => {
      if (this.#opened !== undefined && (await this.#signWith(this.#opened, signing)) !== undefined) return
      throw keyNotFound('the public key of the private one', 'another one')
    })
  }

  sign(signing: Signing): Promise<Uint8Array> {
    return this.#inTurn(signing, async () => {
      if (this.#isClosed) {
        throw new ConfigurationError('pkcs11Signer: expected a signer that is open', { code: 'closed' })
      }
      return (await this.#signWithOpen(signing)) ?? (await this.#signAnew(signing))
    })
  }

  async close(): Promise<void> {
    // What is being signed is signed first.
    await this.#inTurn({ signal: NEVER }, async () => {
      this.#isClosed = true
      this.#drop(true)
    })
  }

  async #inTurn<T>({ signal }: Pick<Signing, 'signal'>, work: () => Promise<T>): Promise<T> {
    if (!this.#gate.tryEnter()) await this.#gate.enter(signal)
    try {
      // Whoever gave up in the very turn in which its turn came is gone too.
      signal.throwIfAborted()
      return await work()
    } catch (error) {
      throw typed(error)
    } finally {
      this.#gate.leave()
    }
  }

  /** A signature by the key of this session, or nothing where a handle has become another key's. */
  async #signWith(opened: Opened, signing: SigningInput): Promise<Uint8Array | undefined> {
    const signature = await signWith(this.#library, opened, signing)
    return this.#isSignature(signature, signing) ? signature : undefined
  }

  /** Signs with what is open, or leaves that and gives nothing. */
  async #signWithOpen(signing: Signing): Promise<Uint8Array | undefined> {
    let isOurs = false
    try {
      const isCurrent = this.#opened?.start === this.#library.starts
      const signature = isCurrent && this.#opened !== undefined && (await this.#signWith(this.#opened, signing))
      if (signature) return signature
    } catch (error) {
      const ckr = ckrOf(error)
      isOurs = LOST.has(ckr)
      if (!isOurs && !FOREIGN.has(ckr)) throw error
    }
    this.#drop(isOurs)
    return undefined
  }

  /** Signs with a new session, once. */
  async #signAnew(signing: Signing): Promise<Uint8Array> {
    tolerate(() => this.#library.initialize())
    const opened = await this.#reopen()
    if (!isDeepStrictEqual(opened.publicKey, this.publicKey)) {
      closeSession(this.#library, opened)
      throw keyNotFound('the key that was there at creation', 'another one of its name')
    }
    this.#opened = opened
    signing.signal.throwIfAborted()
    let signature: Uint8Array | undefined
    try {
      signature = await this.#signWith(opened, signing)
    } finally {
      if (signature === undefined) this.#drop(true)
    }
    if (signature === undefined) throw failed('a signature by its key, got another one')
    return signature
  }

  /** Leaves what is open. A handle that may be somebody else's by now is not closed: that would end their session. */
  #drop(isOurs: boolean): void {
    if (this.#opened !== undefined && isOurs) closeSession(this.#library, this.#opened)
    this.#opened = undefined
  }
}

const NEVER = new AbortController().signal

function checkOrClose(library: Pkcs11Library, opened: Opened): IsSignature {
  try {
    return signatureCheck(opened.publicKey.publicJwk)
  } catch {
    closeSession(library, opened)
    throw keyInvalid('a public key that is one', 'other numbers')
  }
}

function closeSession(library: Pkcs11Library, { handle, start }: Pick<Opened, 'handle' | 'start'>): void {
  if (start === library.starts) tolerate(() => library.module.C_CloseSession(handle))
}

async function open(library: Pkcs11Library, where: KeyOnToken, login: Login): Promise<Opened> {
  const { module, names, starts: start } = library
  let handle: Handle | undefined
  try {
    const slot = findSlot(library, where)
    handle = module.C_OpenSession(slot, names.CKF_SERIAL_SESSION)
    await login({ session: handle, slot })
    const key = findPrivateKey({ library, handle }, where)
    return { handle, key, publicKey: readPublicKey({ library, handle }, key), start }
  } catch (error) {
    if (handle !== undefined) closeSession(library, { handle, start })
    throw typed(error)
  }
}

/** A failure of the library in this package's words; others pass through. */
function typed(error: unknown): unknown {
  const ckr = ckrOf(error)
  if (ckr === undefined || isEvertokenError(error)) return error
  return UNFIT.has(ckr) ? keyInvalid('a key that can sign', ckr) : failed(`the token to work, got ${ckr}`)
}

function failed(what: string): TransportError {
  return new TransportError(`pkcs11Signer: expected ${what}`, { code: 'signer_failed', retryable: true })
}
