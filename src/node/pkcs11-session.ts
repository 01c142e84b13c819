import { createHash } from 'node:crypto'
import type { Handle, Mechanism } from 'pkcs11js'
import { ConfigurationError, isEvertokenError, TransportError } from '../token/index.ts'
import { createGate } from '../util/index.ts'
import { findPrivateKey, type Pkcs11KeyName, type Pkcs11PublicKey, readPublicKey } from './pkcs11-key.ts'
import { ckrOf, findSlot, type Pkcs11js, type Pkcs11Library, tolerate } from './pkcs11-library.ts'
import { createLogin, type Login, type Pin } from './pkcs11-login.ts'

/** Where a key is, and what opens it. */
export interface KeyOnToken extends Pkcs11KeyName, Pin {
  readonly tokenLabel?: string | undefined
  readonly tokenSerial?: string | undefined
}

/** What is signed, until nobody wants it any more. */
export interface Signing {
  readonly input: Uint8Array
  readonly alg: string
  readonly signal: AbortSignal
}

/** One session with one key, logged in, opened again when the token has lost it. */
export interface KeySession {
  readonly publicKey: Pkcs11PublicKey
  /** One signature at a time: a session has room for one operation. */
  sign(signing: Signing): Promise<Uint8Array>
  close(): Promise<void>
}

interface Opened {
  readonly handle: Handle
  readonly key: Handle
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

/** Opens the session, or throws what keeps it closed. */
export async function openKeySession(library: Pkcs11Library, where: KeyOnToken): Promise<KeySession> {
  const login = createLogin(library, where)
  let opened = await open(library, where, login)
  const publicKey = readOrClose(library, opened)
  const gate = createGate(1)
  let isClosed = false

  async function signOnce({ input, alg, signal }: Signing): Promise<Uint8Array> {
    if (isClosed) throw new ConfigurationError('pkcs11Signer: expected a signer that is open', { code: 'closed' })
    const { module } = library
    try {
      return await signWith(library, opened, { input, alg })
    } catch (error) {
      if (!LOST.has(ckrOf(error))) throw error
    }
    tolerate(() => module.C_CloseSession(opened.handle))
    tolerate(() => library.initialize())
    opened = await open(library, where, login)
    signal.throwIfAborted()
    return signWith(library, opened, { input, alg })
  }

  return {
    publicKey,
    async sign(signing) {
      if (!gate.tryEnter()) await gate.enter(signing.signal)
      try {
        // Whoever gave up in the very turn in which its turn came is gone too.
        signing.signal.throwIfAborted()
        return await signOnce(signing)
      } catch (error) {
        throw typed(error)
      } finally {
        gate.leave()
      }
    },
    async close() {
      // What is being signed is signed first.
      if (!gate.tryEnter()) await gate.enter(new AbortController().signal)
      if (!isClosed) tolerate(() => library.module.C_CloseSession(opened.handle))
      isClosed = true
      gate.leave()
    },
  }
}

function readOrClose(library: Pkcs11Library, { handle, key }: Opened): Pkcs11PublicKey {
  try {
    return readPublicKey({ library, handle }, key)
  } catch (error) {
    tolerate(() => library.module.C_CloseSession(handle))
    throw typed(error)
  }
}

async function open(library: Pkcs11Library, where: KeyOnToken, login: Login): Promise<Opened> {
  const { module, names } = library
  let handle: Handle | undefined
  try {
    const slot = findSlot(library, where)
    handle = module.C_OpenSession(slot, names.CKF_SERIAL_SESSION)
    await login({ session: handle, slot })
    return { handle, key: findPrivateKey({ library, handle }, where) }
  } catch (error) {
    const opened = handle
    if (opened !== undefined) tolerate(() => module.C_CloseSession(opened))
    throw typed(error)
  }
}

async function signWith(
  { module, names }: Pkcs11Library,
  { handle, key }: Opened,
  { input, alg }: { readonly input: Uint8Array; readonly alg: string },
): Promise<Uint8Array> {
  module.C_SignInit(handle, mechanismFor(alg, names), key)
  const data = alg.startsWith('ES')
    ? createHash(`sha${alg.slice(2)}`)
        .update(input)
        .digest()
    : Buffer.from(input)
  return module.C_SignAsync(handle, data, Buffer.alloc(MAX_SIGNATURE_BYTES))
}

/** RSA of 8192 bits. */
const MAX_SIGNATURE_BYTES = 1024

/** Mechanisms of RFC 7518's algorithms. ECDSA gives R || S as a JWS has it, over a hash that is made here. */
function mechanismFor(alg: string, names: Pkcs11js): Mechanism {
  if (alg.startsWith('ES')) return { mechanism: names.CKM_ECDSA }
  const [pkcs1, pss, hashAlg, mgf] = {
    256: [names.CKM_SHA256_RSA_PKCS, names.CKM_SHA256_RSA_PKCS_PSS, names.CKM_SHA256, names.CKG_MGF1_SHA256] as const,
    384: [names.CKM_SHA384_RSA_PKCS, names.CKM_SHA384_RSA_PKCS_PSS, names.CKM_SHA384, names.CKG_MGF1_SHA384] as const,
    512: [names.CKM_SHA512_RSA_PKCS, names.CKM_SHA512_RSA_PKCS_PSS, names.CKM_SHA512, names.CKG_MGF1_SHA512] as const,
  }[alg.slice(2) as '256' | '384' | '512']
  if (alg.startsWith('RS')) return { mechanism: pkcs1 }
  const saltLen = Number(alg.slice(2)) / 8
  return { mechanism: pss, parameter: { type: names.CK_PARAMS_RSA_PSS, hashAlg, mgf, saltLen } as RsaPss }
}

type RsaPss = import('pkcs11js').RsaPSS

/** What a token answers for ever, when a key is not made for this. */
const UNFIT: ReadonlySet<string> = new Set([
  'CKR_KEY_FUNCTION_NOT_PERMITTED',
  'CKR_KEY_SIZE_RANGE',
  'CKR_KEY_TYPE_INCONSISTENT',
  'CKR_MECHANISM_INVALID',
  'CKR_MECHANISM_PARAM_INVALID',
])

/** A failure of the library in this package's words; others pass through. */
function typed(error: unknown): unknown {
  const ckr = ckrOf(error)
  if (ckr === undefined || isEvertokenError(error)) return error
  if (UNFIT.has(ckr)) {
    return new ConfigurationError(`pkcs11Signer: expected a key that can sign, got ${ckr}`, { code: 'key_invalid' })
  }
  return new TransportError(`pkcs11Signer: expected the token to work, got ${ckr}`, {
    code: 'signer_failed',
    retryable: true,
  })
}
