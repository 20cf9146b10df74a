/* A stand-in for NVIDIA's NVML library, to test what reads it where there is no GPU.
 *
 * It tells what the file named by STUB_NVML says at the moment of each call, a line a fact:
 *
 *     lost                                  every question about the GPUs fails from now on
 *     gpu TOTAL USED FREE RESERVED UTIL MEM_UTIL MILLIWATTS MILLIJOULES CELSIUS SM MEM XID
 *     process GPU PID BYTES                 BYTES -1: the driver does not tell
 *
 * A value of -1 is one that this GPU does not support. Sizes are bytes, clocks MHz, use percent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned int u32;
typedef unsigned long long u64;
enum { SUCCESS = 0, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, TIMEOUT = 10, LOST = 15 };
enum { TOTAL, USED, FREE, RESERVED, UTIL, MEM_UTIL, POWER, ENERGY, TEMP, SM, MEM, XID, FACTS };
enum { MOST = 8, XID_EVENT = 8 };

typedef struct { long long facts[FACTS]; } gpu_t;
typedef struct { int gpu; u32 pid; long long bytes; } process_t;
typedef struct { u32 pid; u64 bytes; u32 gpu_instance, compute_instance; } process_info_t;
typedef struct { int index; } *device_t;

static gpu_t gpus[MOST];
static process_t processes[64];
static int gpu_count, process_count, lost, told_xid[MOST];
static struct { int index; } devices[MOST];

static void look(void) {
    char line[512];
    FILE *file = fopen(getenv("STUB_NVML"), "r");
    gpu_count = process_count = 0;
    lost = file == NULL;
    while (file && fgets(line, sizeof line, file)) {
        long long *f = gpus[gpu_count].facts;
        process_t *p = &processes[process_count];
        if (!strncmp(line, "lost", 4)) lost = 1;
        if (sscanf(line, "gpu %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld", f, f + 1,
                   f + 2, f + 3, f + 4, f + 5, f + 6, f + 7, f + 8, f + 9, f + 10, f + 11) == FACTS)
            gpu_count++;
        if (sscanf(line, "process %d %u %lld", &p->gpu, &p->pid, &p->bytes) == 3) process_count++;
    }
    if (file) fclose(file);
}

static int fact(device_t device, int which, long long *value) {
    look();
    if (lost || device->index >= gpu_count) return LOST;
    *value = gpus[device->index].facts[which];
    return *value < 0 ? NOT_SUPPORTED : SUCCESS;
}

static int fact_as_uint(device_t device, int which, u32 *value) {
    long long found;
    int result = fact(device, which, &found);
    if (result == SUCCESS) *value = found;
    return result;
}

int nvmlInitWithFlags(u32 flags) { look(); return lost ? LOST : SUCCESS; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int result) { return "an error of the stand-in"; }
int nvmlSystemGetDriverVersion(char *text, u32 size) { snprintf(text, size, "999.1"); return SUCCESS; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13020; return SUCCESS; }

int nvmlDeviceGetCount_v2(u32 *count) {
    look();
    *count = gpu_count;
    return lost ? LOST : SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(u32 index, device_t *device) {
    look();
    if (lost) return LOST;
    devices[index].index = index;
    *device = (device_t)&devices[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(device_t device, char *text, u32 size) {
    snprintf(text, size, "GPU-%08d-0000", device->index);
    return SUCCESS;
}

int nvmlDeviceGetName(device_t device, char *text, u32 size) {
    snprintf(text, size, "Stand-in GPU");
    return SUCCESS;
}

int nvmlDeviceGetPciInfo_v3(device_t device, char *info) {
    snprintf(info + 36, 32, "00000000:0%d:00.0", device->index + 1);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(device_t device, u64 *memory) {
    long long total = 0, used = 0, free = 0;
    int result = fact(device, TOTAL, &total);
    if (result != SUCCESS) return result;
    fact(device, USED, &used), fact(device, FREE, &free);
    memory[0] = total, memory[1] = free, memory[2] = total - free;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(device_t device, u64 *memory) {
    static const int order[] = {TOTAL, RESERVED, FREE, USED};
    for (int i = 0; i < 4; i++) {
        long long value;
        int result = fact(device, order[i], &value);
        if (result != SUCCESS) return result;
        memory[i + 1] = value;
    }
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(device_t device, u32 *rates) {
    int result = fact_as_uint(device, UTIL, rates);
    return result != SUCCESS ? result : fact_as_uint(device, MEM_UTIL, rates + 1);
}

int nvmlDeviceGetPowerUsage(device_t device, u32 *value) { return fact_as_uint(device, POWER, value); }

int nvmlDeviceGetTotalEnergyConsumption(device_t device, u64 *value) {
    return fact(device, ENERGY, (long long *)value);
}

int nvmlDeviceGetTemperature(device_t device, u32 sensor, u32 *value) {
    return fact_as_uint(device, TEMP, value);
}

int nvmlDeviceGetClockInfo(device_t device, u32 clock, u32 *value) {
    return fact_as_uint(device, clock == 1 ? SM : MEM, value);
}

int nvmlDeviceGetComputeRunningProcesses_v3(device_t device, u32 *count, process_info_t *list) {
    u32 found = 0;
    look();
    if (lost) return LOST;
    for (int i = 0; i < process_count; i++) {
        if (processes[i].gpu != device->index) continue;
        if (list && found < *count)
            list[found] = (process_info_t){processes[i].pid, (u64)processes[i].bytes, -1, -1};
        found++;
    }
    int enough = found <= *count;
    *count = found;
    return enough ? SUCCESS : INSUFFICIENT_SIZE;
}

int nvmlEventSetCreate(void **set) { *set = &told_xid; return SUCCESS; }
int nvmlEventSetFree(void *set) { return SUCCESS; }

int nvmlDeviceRegisterEvents(device_t device, u64 types, void *set) {
    long long xid;
    return fact(device, XID, &xid);
}

int nvmlEventSetWait_v2(void *set, char *event, u32 timeout) {
    look();
    for (int i = 0; i < gpu_count && !lost; i++) {
        long long xid = gpus[i].facts[XID];
        if (xid <= 0 || xid == told_xid[i]) continue;
        told_xid[i] = xid;
        devices[i].index = i;
        *(device_t *)event = (device_t)&devices[i];
        *(u64 *)(event + 8) = XID_EVENT;
        *(u64 *)(event + 16) = xid;
        return SUCCESS;
    }
    return TIMEOUT;
}
