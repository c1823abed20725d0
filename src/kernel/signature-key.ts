// The key pair of module-signature.ts, RSA with 2,048 bits, and its certificate, signed by itself.
//
// The private key is public on purpose. It proves nothing about who made a module; it only lets the kernel notice that a
// module is not as it was made. One key for everybody, because the same input must give the same module everywhere.
// This certificate must never be enrolled in a kernel's keyring or in a machine's firmware: anybody can sign with it.

/** X.509 certificate, DER in base64: serial number 1, issuer and subject "CN=Suture integrity". */
export const publicCertificate = [
  'MIIDEDCCAfigAwIBAgIBATANBgkqhkiG9w0BAQsFADAbMRkwFwYDVQQDDBBTdXR1cmUgaW50ZWdyaXR5MCAXDTI2MTEyMjAwMzc0OVoYDzIxMjYx',
  'MDI5MDAzNzQ5WjAbMRkwFwYDVQQDDBBTdXR1cmUgaW50ZWdyaXR5MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAo9yzrG/WWofCbjWY',
  'LguuhlfvFxxanCJhtrI0NPWp0kFa+o2eJkEpgMf48LkFagzYu2ycQtBnSUkLt5omw1s2OWdgJpdrNI4KVTwD01/Im5cnbZ3C9ayiufK6cGxgq/4E',
  'C4OHAV9v4yu6+wmIekVKw+EuvGY4GX5xQf9LqKeviVhdROodM9A5rpgWCBVJvL++5qu+/luK87wYpuWO+a4Wd9SJARYP4sOBZfxGgcAL0095H6nM',
  'a94VXPY+82sWgxeCzChqdV61w5oJmHGf1j1ES9/NnGaC206qvsRq0nskqq71zeZRenMEdES7nWirrOYp/BWZzcmfZDG306+nPQTZmwIDAQABo10w',
  'WzAdBgNVHQ4EFgQU7RxzQ7MeBNP27/mLSsNwFI0a0cowHwYDVR0jBBgwFoAU7RxzQ7MeBNP27/mLSsNwFI0a0cowDAYDVR0TAQH/BAIwADALBgNV',
  'HQ8EBAMCB4AwDQYJKoZIhvcNAQELBQADggEBAI4ZFBqdis3W7CA6VBZunANYKiYz9xLD7Sm0WHRlrdoakHesa/usOzH3azys5W51Veq3LtLSCNO8',
  'j8e6smoJzQt7yRxygB2LxjZUAh0jyxip8Q99eEiXXNHk9QsXWlvijVcoprulM78xCCMnefDG0abtmIZlS293bTixmNh5emMnksiq52XYYPr0sNQx',
  'CL3Mv2tSCRah/BoSJnewvPEMQMMtZ9+BF1XsnJOLy3MFhNQFsNWFdxF64zbLDtf1Q44Fkut49FGhIfmdJqkXpWaNU5u+5mY7zAFKhSwkL0i9KX0q',
  'iyYJF7b6+xm0Sw22sqM5xy6qcZGearuRG2NM/Zg8H+8=',
].join('');

/** PKCS#8, DER in base64. */
export const publicPrivateKey = [
  'MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCj3LOsb9Zah8JuNZguC66GV+8XHFqcImG2sjQ09anSQVr6jZ4mQSmAx/jwuQVq',
  'DNi7bJxC0GdJSQu3mibDWzY5Z2Aml2s0jgpVPAPTX8iblydtncL1rKK58rpwbGCr/gQLg4cBX2/jK7r7CYh6RUrD4S68ZjgZfnFB/0uop6+JWF1E',
  '6h0z0DmumBYIFUm8v77mq77+W4rzvBim5Y75rhZ31IkBFg/iw4Fl/EaBwAvTT3kfqcxr3hVc9j7zaxaDF4LMKGp1XrXDmgmYcZ/WPURL382cZoLb',
  'Tqq+xGrSeySqrvXN5lF6cwR0RLudaKus5in8FZnNyZ9kMbfTr6c9BNmbAgMBAAECggEAKB21nR8qJrK63nlfftJcUUaA4bMO2c+vBWe+UULdZvya',
  'FeIK2Em2q/EJGIHreemYO9ZcsRzNVIs+A56JI+WWMlqFFx2V4OFvVSuisiJufez0+aiYXMX9drGehDx8NE81VU5HhIYFYePIXIIad/iz052y7+vE',
  'izVB7ArgznLzDhf/w7vOpwyr/ayIipd8JrmlmmaeITZ4AWm5Qh2A0K2P50TrT3TNDjss5luidPwF4Ko0nBgub/m+02JFuCPGON/bd+jzw4EC7r78',
  'ARA5EaRpO+VyNAZ9MHwRhyuo4Sy+cb4HjbpMIDs6Ov6qe0HKD64DfzrFFoyli/Ipa7zKu0KKbQKBgQDiCRHek9jdhZSh01Aic3H55ybcBudrKwOp',
  '3z1L6VkiTi+FEAEM9Xd0uX2+JsrgKr6htaafda5QB2oId+e2RqRyFFd9SIEGYSd8/TzdJuVFnKoR4tIDIS4Xac2nzWa0X6IWK4fm8eNyMRbK2taK',
  'aQ2M1IJp+3ZQTPDYY8+Io5TXFQKBgQC5lapuDBmuDg5bLYB+Fu1YLhUBWUzGK9M8RmN8glY0eXkxJ2rL8X9ol/eAzm/U44dJorjWfuIsgEyapTKF',
  '45dh/+u8s+jzZjbc/Wzf0nJIokJQDox2O9/PumQMjdFLpLB8XLudgt30Nd/GNSbc+bcShTC4NpAZLODAEeKuT5MZ7wKBgQCA1T6UKJzRFlQzMGha',
  'Woa6M6AYhO7eTHQYHJ+pZuVhAkNfilGu+zING7Sp7x5vSq3BKfJArSifgLpU/VLat8T/KMz9IZg49KM3QHeybXr8hGEDNM8S7ZSBz9JiNFa3tFKE',
  'ZGdfoLtM2OHu2XCzD1Gj1XRHyAYVmuUj0S/255XsSQKBgCopd2vC8f6aEObkAoIi4U8cQQdqa0fGYxoZf7akwcLwKflh1CB7QA/aHo+z1rJN8slm',
  '34lTkDy99SlZCI5kc1r/UmYvlWfeu+4e4SJEZFReEKSxeXXPCnzeAqbbfUYrJzFJvBH/zj8SEkGsh6TCUrYxbi0bsEcX7AOWzKH/UBMfAoGAcLaZ',
  'v695diMbSimxifO5WiKRLA+umYT3++kMLztobgoZJh4+nCwSwIqsr2Vq1IX++2U1ykb/zLUWcSNcVEeGMkrXOPQ4UEOlTiUCYYKFM+JDMnMsNs4b',
  'mlgHJvN1DpMZyVBOlHrUyQ2x2pDpg9KZTXnJOX6+MxpUSqKBfhqP1Ns=',
].join('');
