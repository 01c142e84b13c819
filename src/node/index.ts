export type { CertificateExtras, ClientCertificateSource } from './certificate-source.ts'
export { type ClientCertificateOptions, clientCertificate, type NodeClientCertificate } from './client-certificate.ts'
export { type NodeKey, type NodeSignerOptions, nodeSigner } from './node-signer.ts'
