import { KMSClient } from '@aws-sdk/client-kms'
import { awsKmsSigner } from '../../../samples/kms/aws-kms.ts'
import type { SigningAlg } from '../../support/keys.ts'
import { type Kms, membersOf } from './stand-in.ts'

const ALIAS = 'alias/invoice'
const ARN = 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
const CURVES: Readonly<Record<string, string>> = { ES256: 'P256', ES384: 'P384', ES512: 'P521' }
const RSA = ['256', '384', '512'].flatMap((bits) => [`RSASSA_PKCS1_V1_5_SHA_${bits}`, `RSASSA_PSS_SHA_${bits}`])

function algorithmOf(alg: SigningAlg): string {
  const family = alg.startsWith('ES') ? 'ECDSA' : alg.startsWith('PS') ? 'RSASSA_PSS' : 'RSASSA_PKCS1_V1_5'
  return `${family}_SHA_${alg.slice(2)}`
}

const error = (__type: string, message: string): unknown => ({ __type, message })

/** AWS KMS, whose wire is JSON 1.1: one path, and the operation in a header. Throttling has status 400. */
export const awsKms: Kms = {
  name: 'AWS KMS',
  algs: ['ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  answer({ method, path, headers, body }, { alg, publicKeyObject, sign }) {
    const isSigned = headers.authorization?.startsWith('AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/')
    if (!isSigned) return { status: 400, body: error('MissingAuthenticationTokenException', '') }
    if (method !== 'POST' || path !== '/' || headers['content-type'] !== 'application/x-amz-json-1.1')
      return { status: 404, body: error('UnknownOperationException', '') }
    const { KeyId, Message, MessageType, SigningAlgorithm } = membersOf(body)
    const target = headers['x-amz-target']
    if (target === 'TrentService.GetPublicKey' && KeyId === ALIAS) {
      const PublicKey = publicKeyObject.export({ format: 'der', type: 'spki' }).toString('base64')
      const curve = CURVES[alg]
      const answer = curve === undefined ? ['RSA_2048', RSA] : [`ECC_NIST_${curve}`, [algorithmOf(alg)]]
      const [KeySpec, SigningAlgorithms] = answer
      return { status: 200, body: { KeyId: ARN, PublicKey, KeySpec, SigningAlgorithms, KeyUsage: 'SIGN_VERIFY' } }
    }
    if (target !== 'TrentService.Sign' || KeyId !== ARN) return { status: 400, body: error('NotFoundException', '') }
    if (MessageType !== 'DIGEST' || SigningAlgorithm !== algorithmOf(alg))
      return { status: 400, body: error('InvalidKeyUsageException', '') }
    const Signature = sign(Buffer.from(String(Message), 'base64'), 'der').toString('base64')
    return { status: 200, body: { KeyId: ARN, Signature, SigningAlgorithm } }
  },
  isSigning: ({ headers }) => headers['x-amz-target'] === 'TrentService.Sign',
  signer(endpoint, { alg, secret }) {
    const client = new KMSClient({
      endpoint,
      region: 'eu-central-1',
      credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: secret },
      maxAttempts: 1,
    })
    return awsKmsSigner(client, ALIAS, { alg, kid: 'k1' })
  },
  signing: (digest, alg) => ({
    method: 'POST',
    path: '/',
    body: {
      KeyId: ARN,
      Message: digest.toString('base64'),
      MessageType: 'DIGEST',
      SigningAlgorithm: algorithmOf(alg),
    },
  }),
  refusal: (kind, quoted) =>
    ({
      throttled: { status: 400, body: error('ThrottlingException', `rate exceeded ${quoted}`) },
      denied: { status: 400, body: error('AccessDeniedException', `not authorized to perform kms:Sign ${quoted}`) },
      unavailable: { status: 500, body: error('KMSInternalException', `try later ${quoted}`) },
    })[kind],
  wrong: [
    { name: 'no signature', change: ({ KeyId }) => ({ KeyId }) },
    { name: 'a signature of another key', change: (body) => ({ ...body, KeyId: `${ARN}0` }) },
  ],
  wrongKeys: [
    { name: 'other bytes', change: (body) => ({ ...body, PublicKey: 'AAAA' }) },
    { name: 'nothing', change: (body) => ({ ...body, PublicKey: undefined }) },
  ],
  otherKeys: [
    { name: 'secp256k1', change: (body) => ({ ...body, KeySpec: 'ECC_SECG_P256K1' }) },
    { name: 'encryption', change: (body) => ({ ...body, SigningAlgorithms: undefined, KeySpec: 'RSA_2048' }) },
  ],
}
