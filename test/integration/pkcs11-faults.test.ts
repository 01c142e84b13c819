import { createPublicKey, verify } from 'node:crypto'
import { inspect } from 'node:util'
import { type Pkcs11Signer, type Pkcs11SignerOptions, pkcs11Signer } from 'evertoken/node'
import pkcs11 from 'pkcs11js'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { rejection } from '../support/fixtures.ts'
import { createSoftHsm, initialize, type SoftHsm, softHsmLibrary } from '../support/soft-hsm.ts'

const isMissing = softHsmLibrary === undefined && process.env.CI === undefined
const title = 'pkcs11Signer among others on its token'
const skipped = ' (skipped: SoftHSM is not installed, see test/setup.sh)'

let hsm: SoftHsm
const signers: Pkcs11Signer[] = []
async function open(options: Partial<Pkcs11SignerOptions> = {}): Promise<Pkcs11Signer> {
  const { library, tokenLabel, pin } = hsm
  const signer = await pkcs11Signer({ library, tokenLabel, pin, keyLabel: 'ec', ...options })
  signers.push(signer)
  return signer
}

/** `CKS_RO_USER_FUNCTIONS`. */
const LOGGED_IN = 1

const input = new TextEncoder().encode('header.payload')
/** Signs, and tells whose signature it is. */
async function signs({ alg, publicJwk, ...signer }: Pkcs11Signer): Promise<boolean> {
  const key = createPublicKey({ key: { ...publicJwk }, format: 'jwk' })
  return verify(`sha${alg.slice(2)}`, input, { key, dsaEncoding: 'ieee-p1363' }, await signer.sign(input))
}

afterEach(async () => {
  vi.restoreAllMocks()
  for (const signer of signers.splice(0)) await signer.close()
})

describe.skipIf(isMissing)(isMissing ? title + skipped : title, () => {
  beforeAll(() => {
    hsm = createSoftHsm([
      { label: 'rsa', id: '01', kind: 'RSA' },
      { label: 'ec', id: '02', kind: 'P-256' },
      { label: 'other', id: '03', kind: 'P-256' },
      { label: 'ec384', id: '04', kind: 'P-384' },
    ])
  })
  afterAll(() => hsm.remove())

  it('refuses a wrong PIN while the token is open with the right one, and the others go on', async () => {
    const first = await open()
    const error = await rejection(open({ keyLabel: 'other', pin: '00000000' }))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'hsm_pin_refused' })
    expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/86420975|00000000/)
    expect([await signs(first), await signs(await open({ keyLabel: 'other' }))]).toEqual([true, true])
  })

  it('cannot check a PIN where another module has logged in', async () => {
    const module = new pkcs11.PKCS11()
    module.load(hsm.library)
    initialize(module)
    const slot = hsm.meddle((_, slot) => slot)
    const session = module.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
    module.C_Login(session, pkcs11.CKU_USER, hsm.pin)
    const signer = await open({ pin: '00000000' })
    expect(await signs(signer)).toBe(true)
    await signer.close()
    module.C_Finalize()
  })

  it('F9.10 gives up a PIN that does not come at creation, and nothing stays open', async () => {
    const error = await rejection(open({ deadlineMs: 50, pin: () => new Promise<string>(() => {}) }))
    expect(error).toMatchObject({ name: 'TransportError', code: 'signer_timeout', retryable: true })
    const module = new pkcs11.PKCS11()
    module.load(hsm.library)
    expect(initialize(module)).toBe(true)
    module.C_Finalize()
  })

  it('F9.10 gives up a PIN that does not come at a new login, and signs and closes afterwards', async () => {
    let asked = 0
    const pin = (): string | Promise<string> => {
      asked++
      return asked === 2 ? new Promise<string>(() => {}) : hsm.pin
    }
    const signer = await open({ deadlineMs: 100, pin })
    hsm.meddle((module, slot) => module.C_CloseAllSessions(slot))
    expect(await rejection(signs(signer))).toMatchObject({ code: 'signer_timeout', retryable: true })
    expect(await signs(signer)).toBe(true)
    expect(asked).toBe(3)
    await signer.close()
  })

  it.each([
    { name: 'whose caller has gone', options: {}, abort: true },
    { name: 'whose time is up', options: { deadlineMs: 50 }, abort: false },
  ])('F9.10 signs nothing $name while it waited for its turn', async ({ options, abort }) => {
    const token = holdSignatures()
    const signer = await open(options)
    token.hold()
    const before = token.signatures
    const first = Promise.resolve(signer.sign(input)).catch(() => {})
    const leaving = new AbortController()
    const others = [1, 2, 3].map(() => rejection(Promise.resolve(signer.sign(input, { signal: leaving.signal }))))
    if (abort) leaving.abort(new Error('gone'))
    await Promise.all(others)
    token.release()
    await first
    await signer.close()
    expect(token.signatures - before).toBe(1)
  })

  it('F9.10 gives up a token that does not sign at creation, and leaves it when it does', async () => {
    const token = holdSignatures()
    token.hold()
    const error = await rejection(open({ deadlineMs: 50 }))
    expect(error).toMatchObject({ name: 'TransportError', code: 'signer_timeout', retryable: true })
    token.release()
    const module = new pkcs11.PKCS11()
    module.load(hsm.library)
    await vi.waitUntil(() => initialize(module))
    module.C_Finalize()
  })

  it('two signers sign with their own keys when somebody else has ended the library', async () => {
    const [first, second, third] = [await open(), await open({ keyLabel: 'other' }), await open({ keyLabel: 'ec384' })]
    hsm.meddle((module) => module.C_Finalize())
    // The last one opens first, and its handles are the numbers that the first one had.
    for (const signer of [second, first, third, first, second]) expect(await signs(signer)).toBe(true)
  })

  it.each([
    { name: 'signs', use: (first: Pkcs11Signer) => signs(first) },
    { name: 'closes', use: (first: Pkcs11Signer) => first.close() },
  ])(
    'a signer that $name with handles of an earlier start leaves the session of another one alone',
    async ({ use }) => {
      const token = holdSignatures()
      let logins = 0
      const pin = (): string => {
        logins++
        return hsm.pin
      }
      const [first, second] = [await open(), await open({ keyLabel: 'other', pin })]
      hsm.meddle((module) => module.C_Finalize())
      await signs(second)
      token.hold()
      const both = Promise.all([use(first), signs(second)])
      token.release()
      await both
      expect(await signs(second)).toBe(true)
      expect(logins).toBe(2)
    },
  )

  it.each([
    { name: 'a key of its kind', keyLabel: 'other' },
    { name: 'a key of another curve', keyLabel: 'ec384' },
    { name: 'a key of another kind', keyLabel: 'rsa' },
  ])('takes no signature by $name where its handles have become somebody else’s, whose session stays', async (key) => {
    const signer = await open()
    const [module, session] = hsm.meddle((module, slot) => {
      module.C_Finalize()
      module.C_Initialize()
      const session = module.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
      module.C_Login(session, pkcs11.CKU_USER, hsm.pin)
      objectsOf(module, session, [
        { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PRIVATE_KEY },
        { type: pkcs11.CKA_LABEL, value: key.keyLabel },
      ])
      return [module, session] as const
    })
    expect(await signs(signer)).toBe(true)
    expect(module.C_GetSessionInfo(session).state).toBe(LOGGED_IN)
  })

  it('does not sign with another key that has taken the name of its own', async () => {
    await open()
    hsm.meddle((module, _, session) => generate(module, session, ['replaced', 'replaced']))
    const signer = await open({ keyLabel: 'replaced' })
    hsm.meddle((module, _, session) => {
      const named = [{ type: pkcs11.CKA_LABEL, value: 'replaced' }]
      for (const object of objectsOf(module, session, named)) module.C_DestroyObject(session, object)
      generate(module, session, ['replaced', 'replaced'])
    })
    for (const attempt of [1, 2]) {
      const error = await rejection(signs(signer))
      expect([attempt, error.name, error.code]).toEqual([attempt, 'ConfigurationError', 'hsm_key_not_found'])
    }
  })

  it.each([
    {
      name: 'two public keys have its label',
      pairs: [
        ['two', 'two'],
        ['two', 'two spare'],
      ],
      says: 'label of the private one, got 2',
    },
    {
      name: 'the public key with its label has another id',
      pairs: [['one', 'one', '0e', '0f']],
      says: 'id of the private one, got 0',
    },
    {
      name: 'two public keys have its id',
      pairs: [
        ['x', 'x', '10', '10'],
        ['x', 'y', '10', '11'],
      ],
      says: 'id of the private one, got 2',
    },
    {
      name: 'the public key with its label is another key’s',
      pairs: [
        ['spare', 'lone'],
        ['lone', 'spare'],
      ],
      says: 'got another one',
    },
  ] as const)('finds no key where $name', async ({ pairs, says }) => {
    const [[, keyLabel]] = pairs
    // The first signer is logged in, and so is the test.
    await open()
    hsm.meddle((module, _, session) => {
      for (const pair of pairs) generate(module, session, pair)
    })
    const error = await rejection(open({ keyLabel }))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'hsm_key_not_found' })
    expect(error.message).toContain(says)
  })
})

/** Labels, and ids if any, of the public and the private key of a pair. */
type Pair = readonly [string, string, string?, string?]

function generate(module: pkcs11.PKCS11, session: Buffer, [label, privateLabel, id, privateId]: Pair): void {
  const named = (label: string, id: string | undefined): pkcs11.Template => [
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_LABEL, value: label },
    ...(id === undefined ? [] : [{ type: pkcs11.CKA_ID, value: Buffer.from(id, 'hex') }]),
  ]
  const curve = { type: pkcs11.CKA_EC_PARAMS, value: Buffer.from('06082a8648ce3d030107', 'hex') }
  module.C_GenerateKeyPair(
    session,
    { mechanism: pkcs11.CKM_EC_KEY_PAIR_GEN },
    [...named(label, id), curve],
    [
      ...named(privateLabel, privateId),
      { type: pkcs11.CKA_PRIVATE, value: true },
      { type: pkcs11.CKA_SIGN, value: true },
    ],
  )
}

function objectsOf(module: pkcs11.PKCS11, session: Buffer, template: pkcs11.Template): readonly Buffer[] {
  module.C_FindObjectsInit(session, template)
  const objects = module.C_FindObjects(session, 9)
  module.C_FindObjectsFinal(session)
  return objects
}

/** A token whose signatures are counted, and wait while they are held. */
function holdSignatures(): { readonly signatures: number; hold(): void; release(): void } {
  const Real = pkcs11.PKCS11
  let signatures = 0
  let held = Promise.resolve()
  let release = (): void => {}
  vi.spyOn(pkcs11, 'PKCS11').mockImplementation(function open() {
    const module = new Real()
    const sign = module.C_SignAsync.bind(module)
    module.C_SignAsync = async (...call) => {
      await held
      signatures++
      return sign(...call)
    }
    return module
  })
  return {
    get signatures() {
      return signatures
    },
    hold() {
      held = new Promise((resolve) => {
        release = resolve
      })
    },
    release: () => release(),
  }
}
