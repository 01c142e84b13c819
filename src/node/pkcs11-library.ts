import type { Handle, PKCS11 } from 'pkcs11js'
import { ConfigurationError } from '../token/index.ts'
import { createPinDigests, type PinDigests } from './pkcs11-pins.ts'

/** What is used of the package `pkcs11js`: the class and the numbers that PKCS #11 gives its names. */
export type Pkcs11js = typeof import('pkcs11js')

/** One PKCS #11 library of this process, in use by as many as have opened it. */
export interface Pkcs11Library {
  readonly names: Pkcs11js
  readonly module: PKCS11
  readonly pins: PinDigests
  /** How often it has been started here; what was opened before the last time is no longer what it was. */
  readonly starts: number
  /** Starts the library; that somebody has done so already is fine. */
  initialize(): void
  close(): void
}

interface OpenLibrary extends Pkcs11Library {
  users: number
}

/** By path: `C_Initialize` is for a process, not for a caller (PKCS #11 2.40 section 5.4). */
const libraries = new Map<string, OpenLibrary>()

/** Loads a library, or takes part in one that is loaded. */
export async function openLibrary(path: string): Promise<Pkcs11Library> {
  const names = await loadPeer()
  const library = libraries.get(path) ?? load(path, names)
  // No await between the look and the claim.
  libraries.set(path, library)
  library.users++
  return library
}

async function loadPeer(): Promise<Pkcs11js> {
  try {
    // A CommonJS package: all of it is the default export.
    return (await import('pkcs11js')).default
  } catch (cause) {
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND'
    const came = isMissing ? 'none' : 'one that does not load'
    throw new ConfigurationError(`pkcs11Signer: expected the package pkcs11js, got ${came}`, {
      code: 'peer_missing',
      cause,
    })
  }
}

function load(path: string, names: Pkcs11js): OpenLibrary {
  const module = new names.PKCS11()
  const pins = createPinDigests()
  let starts = 0
  function initialize(): void {
    try {
      module.C_Initialize({ flags: names.CKF_OS_LOCKING_OK })
      starts++
      // Logins end with the library.
      pins.clear()
    } catch (error) {
      if (ckrOf(error) !== 'CKR_CRYPTOKI_ALREADY_INITIALIZED') throw error
    }
  }
  try {
    module.load(path)
    initialize()
  } catch (error) {
    const came = ckrOf(error) ?? 'a file that does not load as one'
    throw new ConfigurationError(`pkcs11Signer: expected ${path} to be a PKCS #11 library, got ${came}`, {
      code: 'hsm_library_invalid',
    })
  }
  const library: OpenLibrary = {
    names,
    module,
    pins,
    get starts() {
      return starts
    },
    initialize,
    close,
    users: 0,
  }
  function close(): void {
    library.users--
    if (library.users > 0) return
    libraries.delete(path)
    // Whoever else started it in this process may be using it still.
    if (starts > 0) tolerate(() => module.C_Finalize())
    tolerate(() => module.close())
  }
  return library
}

/** Does what may fail because it has been done: sessions end with their token, libraries with another user's call. */
export function tolerate(work: () => void): void {
  try {
    work()
  } catch (error) {
    if (ckrOf(error) === undefined) throw error
  }
}

/** The name of a failure of the library, `CKR_...`. */
export function ckrOf(error: unknown): string | undefined {
  return error instanceof Error ? /\bCKR_[A-Z0-9_]+/.exec(error.message)?.[0] : undefined
}

/** The slot whose token has a label or a serial number. */
export function findSlot(
  { module }: Pkcs11Library,
  { tokenLabel, tokenSerial }: { readonly tokenLabel?: string | undefined; readonly tokenSerial?: string | undefined },
): Handle {
  const slots = module.C_GetSlotList(true).filter((slot) => {
    const { label, serialNumber } = module.C_GetTokenInfo(slot)
    return tokenSerial === undefined ? unpadded(label) === tokenLabel : unpadded(serialNumber) === tokenSerial
  })
  const [slot] = slots
  if (slot !== undefined && slots.length === 1) return slot
  const wanted = tokenSerial === undefined ? `label "${tokenLabel}"` : `serial number "${tokenSerial}"`
  throw new ConfigurationError(`pkcs11Signer: expected one token with ${wanted}, got ${slots.length}`, {
    code: 'hsm_token_not_found',
  })
}

/** Fixed-width texts of PKCS #11 end in blanks, and in zero bytes where a vendor did not read that. */
function unpadded(text: string): string {
  return text.replace(/[\0 ]+$/, '')
}
