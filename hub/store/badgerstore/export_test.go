package badgerstore

// Reserve is what stays free on the disk.
const Reserve = reserve
