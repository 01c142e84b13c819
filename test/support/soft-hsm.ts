import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pkcs11 from 'pkcs11js'

/** A software HSM with one token, in a folder of its own. */
export interface SoftHsm {
  readonly library: string
  readonly tokenLabel: string
  readonly serialNumber: string
  readonly pin: string
  /** Lets the test be a second user of the library in this process: what it does, the signer has to live with. */
  meddle<T>(work: (module: pkcs11.PKCS11, slot: Buffer, session: Buffer) => T): T
  remove(): void
}

/** A key that the token makes and does not give away. */
export interface SoftKey {
  readonly label: string
  readonly id: string
  readonly kind: 'RSA' | 'P-256' | 'P-384' | 'P-521' | 'secp256k1'
  readonly hasPublic?: boolean
  readonly canSign?: boolean
}

const LIBRARIES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
]

/** Where SoftHSM is on this machine, if it is. */
export const softHsmLibrary: string | undefined = LIBRARIES.find(existsSync)

const CURVES = {
  'P-256': '06082a8648ce3d030107',
  'P-384': '06052b81040022',
  'P-521': '06052b81040023',
  secp256k1: '06052b8104000a',
} as const

/** Makes a token with keys. The library reads `SOFTHSM2_CONF` when it starts, so there is one in a process. */
export function createSoftHsm(keys: readonly SoftKey[]): SoftHsm {
  const library = softHsmLibrary ?? ''
  const folder = mkdtempSync(join(tmpdir(), 'evertoken-hsm-'))
  const [tokenLabel, pin] = ['evertoken test', '86420975']
  mkdirSync(join(folder, 'tokens'))
  writeFileSync(
    join(folder, 'softhsm2.conf'),
    `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n`,
  )
  process.env.SOFTHSM2_CONF = join(folder, 'softhsm2.conf')
  const init = ['--init-token', '--free', '--label', tokenLabel, '--pin', pin, '--so-pin', '97531086']
  execFileSync('softhsm2-util', init, { stdio: 'pipe' })

  const module = new pkcs11.PKCS11()
  module.load(library)
  function meddle<T>(work: (module: pkcs11.PKCS11, slot: Buffer, session: Buffer) => T): T {
    const isFirst = initialize(module)
    const [slot = Buffer.alloc(0)] = slotsOf(module, tokenLabel)
    const session = module.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
    try {
      return work(module, slot, session)
    } finally {
      if (isFirst) module.C_Finalize()
    }
  }
  const serialNumber = meddle((_, slot, session) => {
    module.C_Login(session, pkcs11.CKU_USER, pin)
    for (const key of keys) generate(module, session, key)
    return module.C_GetTokenInfo(slot).serialNumber.trim()
  })
  return { library, tokenLabel, serialNumber, pin, meddle, remove: () => rmSync(folder, { recursive: true }) }
}

/** Starts the library; tells whether nobody else had. */
export function initialize(module: pkcs11.PKCS11): boolean {
  try {
    module.C_Initialize()
    return true
  } catch (error) {
    if (error instanceof Error && error.message.includes('CKR_CRYPTOKI_ALREADY_INITIALIZED')) return false
    throw error
  }
}

function slotsOf(module: pkcs11.PKCS11, label: string): Buffer[] {
  return module.C_GetSlotList(true).filter((slot) => module.C_GetTokenInfo(slot).label.trim() === label)
}

function generate(
  module: pkcs11.PKCS11,
  session: Buffer,
  { label, id, kind, hasPublic = true, canSign = true }: SoftKey,
): void {
  const name = [
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_LABEL, value: label },
    { type: pkcs11.CKA_ID, value: Buffer.from(id, 'hex') },
  ]
  const shape =
    kind === 'RSA'
      ? [
          { type: pkcs11.CKA_MODULUS_BITS, value: 2048 },
          { type: pkcs11.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
        ]
      : [{ type: pkcs11.CKA_EC_PARAMS, value: Buffer.from(CURVES[kind], 'hex') }]
  const { publicKey } = module.C_GenerateKeyPair(
    session,
    { mechanism: kind === 'RSA' ? pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN : pkcs11.CKM_EC_KEY_PAIR_GEN },
    [...name, { type: pkcs11.CKA_VERIFY, value: true }, ...shape],
    [
      ...name,
      { type: pkcs11.CKA_PRIVATE, value: true },
      { type: pkcs11.CKA_SIGN, value: canSign },
      { type: pkcs11.CKA_SENSITIVE, value: true },
      { type: pkcs11.CKA_EXTRACTABLE, value: false },
    ],
  )
  if (!hasPublic) module.C_DestroyObject(session, publicKey)
}
